// Noise from a seed. The same seed gives the same noise in every browser (but not the noise that
// PyTorch makes of that seed: its generator is another one).

/** Numbers in (0, 1), equally likely: the generator mulberry32. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let h = state;
    h = Math.imul(h ^ (h >>> 15), h | 1);
    h ^= h + Math.imul(h ^ (h >>> 7), h | 61);
    return (((h ^ (h >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** `count` standard normal numbers, two at a time by the method of Box and Muller. */
export function normal(count, seed) {
  const next = uniform(seed);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(next()));
    const angle = 2 * Math.PI * next();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
