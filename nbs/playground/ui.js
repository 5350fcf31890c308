// Small helpers that all parts of the page share.

/** The element of a part with that name: `<… data-name="steps">`. */
export function named(part) {
  return (name) => part.querySelector(`[data-name="${name}"]`);
}

/** Show a message in a part of the page. */
export function say(part, message) {
  part.querySelector("[data-says]").textContent = message;
}

/** Write the value of a slider beside its label, now and whenever it moves; then call `moved`. */
export function slider(input, words, moved = () => {}) {
  const beside = input.closest("label").querySelector("b");
  const show = () => {
    beside.textContent = words(Number(input.value));
    input.setAttribute("aria-valuetext", beside.textContent);
  };
  input.addEventListener("input", () => {
    show();
    moved(Number(input.value));
  });
  show();
  return { show, set: (value) => { input.value = value; show(); } };
}

/** Call `repaint` when the page turns dark or light. */
export function onTheme(repaint) {
  new MutationObserver(repaint).observe(document.body, { attributeFilter: ["class"] });
}

/** Move a slider from its beginning to its end in `seconds`; a second call stops it. */
export function player(button, input, seconds, show) {
  let request = null;
  const stop = () => {
    cancelAnimationFrame(request);
    request = null;
    button.textContent = "Play";
  };
  const play = () => {
    const [low, high, step] = [input.min, input.max, input.step].map(Number);
    const from = Number(input.value) >= high ? low : Number(input.value);
    const start = performance.now();
    const tick = (now) => {
      const value = from + Math.max(0, now - start) / 1000 / seconds * (high - low);
      input.value = Math.min(high, low + Math.round((value - low) / step) * step);
      show(Number(input.value));
      if (value >= high) stop();
      else request = requestAnimationFrame(tick);
    };
    button.textContent = "Pause";
    request = requestAnimationFrame(tick);
  };
  button.addEventListener("click", () => (request === null ? play() : stop()));
  input.addEventListener("input", () => request !== null && stop());
  return { play, stop };
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
