// From noise to an image: the solvers of chapter 03, and guidance.
//
// A solver is f(predict, path, z, times, seen) → z at the last time. `predict(z, t)` promises the
// clean image x̂; `seen` is told of every step before it is made, with z and x̂ at its time.

/** steps + 1 times from 0 to 1: the last step begins at `lastTime`, all others are equal. */
export function timeGrid(steps, lastTime = 1) {
  const even = (end, n) => Array.from({ length: n + 1 }, (_, i) => (end * i) / n);
  if (lastTime === 1 || steps === 1) return even(1, steps);
  return [...even(lastTime, steps - 1), 1];
}

const moved = (z, h, v) => z.map((value, i) => value + h * v[i]);

/** Euler's method: one prediction a step. */
async function euler(predict, path, z, times, seen) {
  for (let n = 0; n + 1 < times.length; n++) {
    const t = times[n];
    const x = await predict(z, t);
    await seen({ t, z, x });
    z = moved(z, times[n + 1] - t, path.velocity(x, z, t));
  }
  return z;
}

/** Heun's method: the mean of the velocities at both ends; the last step is Euler's. */
async function heun(predict, path, z, times, seen) {
  for (let n = 0; n + 1 < times.length; n++) {
    const [t, next] = [times[n], times[n + 1]];
    const x = await predict(z, t);
    await seen({ t, z, x });
    let v = path.velocity(x, z, t);
    if (next < 1) {
      const ahead = moved(z, next - t, v);
      const w = path.velocity(await predict(ahead, next), ahead, next);
      v = v.map((value, i) => (value + w[i]) / 2);
    }
    z = moved(z, next - t, v);
  }
  return z;
}

/** Exponential steps: exact for an x̂ that stays the same. */
async function exponential(predict, path, z, times, seen) {
  for (let n = 0; n + 1 < times.length; n++) {
    const t = times[n];
    const x = await predict(z, t);
    await seen({ t, z, x });
    z = path.exponentialStep(x, z, t, times[n + 1]);
  }
  return z;
}

/** Exponential steps with x̂ extrapolated from the last two to the middle of the step. */
async function exponential2m(predict, path, z, times, seen) {
  let last = null;
  for (let n = 0; n + 1 < times.length; n++) {
    const [t, next] = [times[n], times[n + 1]];
    const x = await predict(z, t);
    await seen({ t, z, x });
    let ahead = x;
    if (last) {
      const share = (next - t) / (2 * (t - times[n - 1]));
      const before = last;
      ahead = x.map((value, i) => value + share * (value - before[i]));
    }
    z = path.exponentialStep(ahead, z, t, next);
    last = x;
  }
  return z;
}

export const SOLVERS = { exponential_2m: exponential2m, exponential, heun, euler };

/**
 * predict(z, t) of a network that is asked as `run(images, t, labels)` → images. Inside the interval
 * the network is asked with the label and without, and the difference is taken `scale` times.
 */
export function guided(run, label, noClass, scale, interval) {
  return async (z, t) => {
    const inside = interval[0] < t && t < interval[1];
    if (!inside || scale === 1) return (await run([z], t, [label]))[0];
    const [withClass, without] = await run([z, z], t, [label, noClass]);
    return without.map((value, i) => value + scale * (withClass[i] - value));
  };
}

/** An image, and the points seen on the way to it, the image itself among them as the last. */
export async function draw({ predict, path, z, solver, steps, lastTime, seen = () => {} }) {
  const frames = [];
  const keep = async (frame) => {
    frames.push(frame);
    await seen(frame, frames);
  };
  const end = await SOLVERS[solver](predict, path, z, timeGrid(steps, lastTime), keep);
  await keep({ t: 1, z: end, x: end });
  return { image: end.map((value) => Math.min(1, Math.max(-1, value))), frames };
}
