// Heat and noise on a grid of pixels: the mathematics of chapters 00 and 01, in JavaScript.
//
// An image is an array of h·w numbers, row by row. Its modes are the coefficients of the
// orthonormal DCT-II: an array of the same length, with the mean of the image at index 0.

/** The orthonormal DCT-II matrix, n×n: row k is the cosine of frequency k. */
export function cosines(n) {
  const C = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    const scale = Math.sqrt((k === 0 ? 1 : 2) / n);
    for (let j = 0; j < n; j++) C[k * n + j] = scale * Math.cos((Math.PI * k * (j + 0.5)) / n);
  }
  return C;
}

/** The product of A (m×k) and B (k×n); with `turned`, of A and the transpose of B (n×k). */
function product(A, B, m, k, n, turned) {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += A[i * k + l] * (turned ? B[j * k + l] : B[l * n + j]);
      out[i * n + j] = sum;
    }
  return out;
}

function transposed(A, n) {
  return A.map((_, i) => A[(i % n) * n + Math.floor(i / n)]);
}

/**
 * The path from noise to images by way of blurred images, per mode k:
 *     Z_k(t) = t^(1 + r·λ_k) X_k + (1 − t) E_k
 * with noise at t = 0 and the image at t = 1. With r = 0 nothing is blurred on the way.
 */
export class HeatPath {
  constructor(height, width, r = 1, epsilon = 0.05) {
    Object.assign(this, { height, width, r, epsilon, size: height * width });
    this.rows = cosines(height);
    this.columns = cosines(width);
    this.rowsBack = transposed(this.rows, height);
    this.columnsBack = transposed(this.columns, width);
    this.eigenvalues = eigenvalues(height, width);
  }

  /** The modes of an image. */
  modes(x) {
    const { height: h, width: w } = this;
    return product(product(this.rows, x, h, h, w, false), this.columns, h, w, w, true);
  }

  /** The image with these modes. */
  pixels(X) {
    const { height: h, width: w } = this;
    return product(product(this.rowsBack, X, h, h, w, false), this.columnsBack, h, w, w, true);
  }

  /** t^(rλ) of every mode: what heat has left of it. At t = 0 that is 1 for the mean, else 0. */
  decay(t) {
    return this.eigenvalues.map((lambda) => Math.pow(t, this.r * lambda));
  }

  /** The two clocks: how much signal each mode holds at t, and how much noise all of them. */
  clocks(t) {
    return { signal: this.decay(t).map((d) => t * d), noise: 1 - t };
  }

  /** The image after the heat time −r·log t: u_t. */
  blurred(x, t) {
    const decay = this.decay(t);
    return this.pixels(this.modes(x).map((value, k) => value * decay[k]));
  }

  /** The point of the path between `noise` and the image `x`. */
  point(noise, x, t) {
    return this.blurred(x, t).map((u, i) => t * u + (1 - t) * noise[i]);
  }

  /** The velocity at z when the clean image is (predicted to be) `x`. */
  velocity(x, z, t) {
    const s = Math.max(1 - t, this.epsilon);
    const decay = this.decay(t);
    const gain = (k) => decay[k] * (1 / s + this.r * this.eigenvalues[k]);
    return this.pixels(this.modes(x).map((value, k) => value * gain(k))).map((v, i) => v - z[i] / s);
  }

  /** From t to `next` along the path on which the clean image stays `x`, exactly. */
  exponentialStep(x, z, t, next) {
    const now = this.clocks(t);
    const then = this.clocks(next);
    const rho = then.noise / now.noise;
    const gain = (k) => then.signal[k] - rho * now.signal[k];
    return this.pixels(this.modes(x).map((value, k) => value * gain(k))).map((v, i) => v + rho * z[i]);
  }
}

/** λ ≥ 0 of every mode: minus the eigenvalues of the Laplacian with reflecting edges. */
export function eigenvalues(height, width) {
  const along = (k, n) => (Math.PI * k / n) ** 2;
  return Float64Array.from({ length: height * width }, (_, i) =>
    along(Math.floor(i / width), height) + along(i % width, width));
}

/** The standard deviation, in pixels, of the Gaussian that blurs as much as heat does at t. */
export function blurInPixels(t, r) {
  return Math.sqrt(-2 * r * Math.log(t));
}
