// The case that needs no network: a handful of data points in the plane. Each point is a picture of
// two pixels, so that it has two modes, the mean of both and their difference; heat leaves the mean
// alone and takes the difference away. The velocity is the exact one, of chapter 02.

import { HeatPath } from "./heat.js";
import { normal } from "./noise.js";

export const PIXELS = [1, 2]; // one row of two pixels

/** The means of p(z_t | data point): what is left of every point at t, in pixels. */
export function centres(path, data, t) {
  return data.map((x) => path.blurred(x, t).map((u) => t * u));
}

/** E[x | z]: the data points, each with the share that softmax gives it. */
export function posterior(data, means, z, t) {
  const variance = Math.max(1 - t, 1e-9) ** 2;
  const logits = means.map((m) => -((z[0] - m[0]) ** 2 + (z[1] - m[1]) ** 2) / (2 * variance));
  const highest = Math.max(...logits);
  const shares = logits.map((logit) => Math.exp(logit - highest));
  const total = shares.reduce((a, b) => a + b, 0);
  const mean = (axis) => data.reduce((sum, x, i) => sum + shares[i] * x[axis], 0) / total;
  return [mean(0), mean(1)];
}

/** The places of particles at every time of an even grid: frames[n][p] = [z₁, z₂]. */
export function follow(data, { r = 1, particles = 150, steps = 60, seed = 0, scale = 1 } = {}) {
  const path = new HeatPath(...PIXELS, r);
  const noise = normal(2 * particles, seed);
  let places = Array.from({ length: particles }, (_, p) =>
    [scale * noise[2 * p], scale * noise[2 * p + 1]]);
  const frames = [places];
  for (let n = 0; n < steps; n++) {
    const [t, next] = [n / steps, (n + 1) / steps];
    const means = centres(path, data, t);
    places = places.map((z) =>
      [...path.exponentialStep(posterior(data, means, z, t), z, t, next)]);
    frames.push(places);
  }
  return frames;
}

/** The density at t on a grid×grid raster of [−extent, extent]², first row on top, at most 1. */
export function density(data, { r = 1, t, grid = 96, extent = 3, floor = 0.06 } = {}) {
  const path = new HeatPath(...PIXELS, r);
  const spread = Math.max(1 - t, floor); // a point would be too small to be seen
  const axis = Float64Array.from({ length: grid }, (_, i) => ((i + 0.5) / grid * 2 - 1) * extent);
  const bell = (centre) => axis.map((a) => Math.exp(-((a - centre) ** 2) / (2 * spread ** 2)));
  const out = new Float64Array(grid * grid);
  for (const [x, y] of centres(path, data, t)) {
    const across = bell(x);
    const up = bell(y);
    for (let i = 0; i < grid; i++)
      for (let j = 0; j < grid; j++) out[i * grid + j] += across[j] * up[grid - 1 - i];
  }
  const highest = out.reduce((a, b) => Math.max(a, b), 1e-12);
  return out.map((value) => value / highest);
}

const TURN = 2 * Math.PI;

/** Data to begin with: functions of nothing that give points. */
export const SHAPES = {
  ring: () => Array.from({ length: 24 }, (_, i) =>
    [1.8 * Math.cos(TURN * i / 24), 1.8 * Math.sin(TURN * i / 24)]),
  spiral: () => Array.from({ length: 40 }, (_, i) => {
    const angle = 0.6 + (i / 40) * 1.6 * TURN;
    return [0.22 * angle * Math.cos(angle), 0.22 * angle * Math.sin(angle)];
  }),
  corners: () => [[1.8, 1.8], [-1.8, 1.8], [-1.8, -1.8], [1.8, -1.8]],
};
