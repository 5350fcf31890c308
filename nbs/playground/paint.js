// Numbers as pictures on canvases, one pixel each; the style sheet makes them large.

const INFERNO = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99],
                 [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];

/** The colour of a share from 0 (dark) to 1 (light): [red, green, blue]. */
export function heatColour(share) {
  const place = Math.min(1, Math.max(0, share)) * (INFERNO.length - 1);
  const below = Math.min(Math.floor(place), INFERNO.length - 2);
  const rest = place - below;
  return INFERNO[below].map((c, i) => c + rest * (INFERNO[below + 1][i] - c));
}

const grey = (value) => {
  const level = (Math.min(1, Math.max(-1, value)) + 1) * 127.5;
  return [level, level, level];
};

/** Fill a canvas of width×height pixels; `colour(i)` is [r, g, b] or [r, g, b, alpha]. */
export function fill(canvas, width, height, colour) {
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const [r, g, b, alpha = 255] = colour(i);
    picture.data.set([r, g, b, alpha], 4 * i);
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** An image in [−1, 1] (clipped), grey. */
export function paintImage(canvas, image, width, height = image.length / width) {
  fill(canvas, width, height, (i) => grey(image[i]));
}

const DARKEST = -1.7; // of log₁₀ |mode|
const LIGHTEST = 1.2;

/** The size of every mode, its logarithm as a colour; grey where `isLit(k)` is false. */
export function paintModes(canvas, modes, width, isLit) {
  fill(canvas, width, modes.length / width, (k) => {
    const share = (Math.log10(Math.abs(modes[k]) + 1e-9) - DARKEST) / (LIGHTEST - DARKEST);
    if (isLit(k)) return heatColour(Math.max(0.28, share));
    const level = 25 + 95 * Math.min(1, Math.max(0, share));
    return [level, level, level + 8];
  });
}

/** Which modes of a picture X outweigh the noise at t: a function of k. */
export function aboveNoise(path, X, t) {
  const { signal, noise } = path.clocks(t);
  return (k) => signal[k] * Math.abs(X[k]) > noise;
}

/** How many modes those are. */
export function count(modes, isLit) {
  return modes.reduce((sum, _, k) => sum + (isLit(k) ? 1 : 0), 0);
}

/** Images side by side in rows, with a gap between them. */
export function paintStrip(canvas, rows, size, gap = 2) {
  const columns = rows[0].length;
  const step = size + gap;
  const width = columns * step - gap;
  const height = rows.length * step - gap;
  fill(canvas, width, height, (i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    const [column, row] = [Math.floor(x / step), Math.floor(y / step)];
    const [dx, dy] = [x % step, y % step];
    if (dx >= size || dy >= size) return [0, 0, 0, 0];
    return grey(rows[row][column][dy * size + dx]);
  });
}
