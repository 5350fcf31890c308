// The first part of the page: drawing with a network.

import { HeatPath, blurInPixels } from "./heat.js";
import { NETWORKS, openNetwork } from "./networks.js";
import { normal } from "./noise.js";
import { aboveNoise, count, paintImage, paintModes, paintStrip } from "./paint.js";
import { SOLVERS, draw as drawWith, guided } from "./sample.js";
import { named, pause, player, say, slider } from "./ui.js";

const SECONDS = 2; // in which a drawing is shown, if the network is faster
const IN_STRIP = 10; // steps in the film strip
const KEPT = 8; // drawings that stay to be compared

const opened = {}; // name → promise of a network

/** A network, opened once. */
function open(name) {
  opened[name] ??= openNetwork(name).catch((error) => {
    delete opened[name]; // the next press of the button tries again
    throw error;
  });
  return opened[name];
}

/** Draw. Everything has a default; `z` is noise of one's own, otherwise it comes from `seed`. */
async function draw({ network: name = "fashion", label = 0, seed = 0, z, seen, ...options } = {}) {
  const network = await open(name);
  const { solver, steps, guidance, lastTime, interval } = { ...network, ...options };
  let images = 0; // that the network has been asked for
  const run = (batch, t, labels) => {
    images += batch.length;
    return network.run(batch, t, labels);
  };
  const predict = guided(run, label, network.noClass, guidance, interval);
  const begin = Float64Array.from(z ?? normal(network.path.size, seed));
  const drawn = await drawWith(
    { predict, path: network.path, z: begin, solver, steps, lastTime, seen });
  return { ...drawn, images };
}

export function startDrawing(part, offer) {
  const get = named(part);
  const [button, time] = [get("draw"), get("step")];
  let frames = [];
  let path = null;

  function chosen() {
    return { network: get("network").value, label: Number(get("class").value),
             solver: get("solver").value, steps: Number(get("steps").value),
             guidance: Number(get("guidance").value), seed: Number(get("seed").value) || 0 };
  }

  function words({ network, label, solver, steps }) {
    return { what: NETWORKS[network].classes[label] ?? "no class",
             how: `${solver}, ${steps} ${steps === 1 ? "step" : "steps"}` };
  }

  /** Show the point of the path, its modes and the guess at one step. */
  function show(n) {
    const { t, z, x } = frames[n];
    const side = path.width;
    const isLit = x ? aboveNoise(path, path.modes(x), t) : () => false;
    const last = frames.length - 1;
    paintImage(get("point"), z, side);
    paintModes(get("modes"), path.modes(z), side, isLit);
    paintImage(get("guess"), x ?? new Float64Array(path.size).fill(-1), side);
    const lit = x ? count(z, isLit) : 0;
    const blur = t > 0 ? `${blurInPixels(t, path.r).toFixed(1)} pixels` : "complete";
    get("told").textContent = `t = ${t.toFixed(2)} · blur: ${blur} · ` +
      `${lit} of ${path.size} modes above the noise`;
    get("point").setAttribute("aria-label", `The point of the path at t = ${t.toFixed(2)}`);
    mark(last ? n / last : 0);
  }

  /** A line below the frame of the strip that is shown. */
  function mark(share) {
    const shown = Math.min(IN_STRIP + 1, frames.length);
    const column = Math.round(share * (shown - 1));
    part.style.setProperty("--play-column", column);
    part.style.setProperty("--play-columns", Math.max(shown, 1));
  }

  function showStrip() {
    const last = frames.length - 1;
    const columns = Math.min(IN_STRIP + 1, frames.length);
    const picked = Array.from({ length: columns }, (_, i) =>
      frames[Math.round(columns > 1 ? (i * last) / (columns - 1) : 0)]);
    paintStrip(get("strip"), [picked.map((f) => f.z), picked.map((f) => f.x)], path.width);
    get("film").hidden = false;
  }

  /** Before the first drawing, and whenever the seed is changed: the noise that it begins with. */
  function showNoise() {
    const { network, seed } = chosen();
    const { size, r } = NETWORKS[network];
    path = new HeatPath(size, size, r);
    frames = [{ t: 0, z: normal(path.size, seed), x: null }];
    get("film").hidden = true;
    show(0);
  }

  /** A small copy of what was drawn, with how it was drawn. */
  function keep(image, options) {
    const { what, how } = words(options);
    const text = `${what}: ${how}, guidance ${options.guidance}, seed ${options.seed}`;
    for (const before of [...get("kept").children]) if (before.textContent === text) before.remove();
    const item = document.createElement("li");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Drawn: ${what}, ${how}`);
    paintImage(canvas, image, path.width);
    const caption = document.createElement("span");
    caption.textContent = text;
    item.append(canvas, caption);
    get("kept").prepend(item);
    while (get("kept").children.length > KEPT) get("kept").lastChild.remove();
    get("drawn").hidden = false;
  }

  async function pressed() {
    const options = chosen();
    const { what, how } = words(options);
    button.disabled = true;
    film.stop();
    try {
      if (!opened[options.network]) say(part, "Fetching the network and what runs it …");
      path = (await open(options.network)).path;
      say(part, `Drawing (${what}: ${how}) …`);
      const wait = (1000 * SECONDS) / options.steps;
      let computing = 0;
      let last = performance.now();
      const seen = async (frame, all) => {
        computing += performance.now() - last;
        frames = all;
        time.max = options.steps;
        stepSlider.set(all.length - 1);
        show(all.length - 1);
        await pause(wait);
        last = performance.now();
      };
      const drawn = await draw({ ...options, seen });
      showStrip();
      show(frames.length - 1);
      keep(drawn.image, options);
      offer({ image: drawn.image, side: path.width, what });
      say(part, `Drawn: ${what}, by ${how}. The network made ${drawn.images} guesses in ` +
        `${(computing / 1000).toFixed(1)} seconds.`);
    } catch (error) {
      console.warn(error);
      const missing = typeof WebAssembly !== "object";
      say(part, missing ? error.message + " The other parts of this page work without it."
        : `The network could not be loaded (${error.message}). The other parts of this page work ` +
          "without it; press the button to try again.");
    }
    button.disabled = false;
  }

  /** Offer the classes of the chosen network, and draw as it likes best. */
  function useNetwork() {
    const network = NETWORKS[get("network").value];
    get("class").replaceChildren(...network.classes.map((what, i) => new Option(what, i)),
                                 new Option("no class", network.noClass));
    for (const name of ["solver", "steps", "guidance"]) get(name).value = network[name];
    stepsSlider.show();
    guidanceSlider.show();
    showNoise();
  }

  for (const [name, { r }] of Object.entries(NETWORKS))
    get("network").add(new Option(`${name}, r = ${r}`, name));
  for (const name of Object.keys(SOLVERS)) get("solver").add(new Option(name, name));
  const stepsSlider = slider(get("steps"), String);
  const guidanceSlider = slider(get("guidance"), (g) => (g === 1 ? "1 (none)" : String(g)));
  const stepSlider = slider(time, (n) => `${n} of ${time.max}`,
    (n) => show(Math.min(n, frames.length - 1)));
  const film = player(get("play"), time, SECONDS, (n) => {
    stepSlider.show();
    show(Math.min(n, frames.length - 1));
  });
  get("network").addEventListener("change", useNetwork);
  get("seed").addEventListener("change", showNoise);
  get("another").addEventListener("click", () => {
    get("seed").value = Math.floor(1e4 * Math.random());
    showNoise();
  });
  button.addEventListener("click", pressed);
  if (typeof WebAssembly !== "object")
    say(part, "This browser has no WebAssembly, so the network cannot run here. " +
      "The other parts of this page work without it.");
  useNetwork();
  get("class").value = "7"; // a sneaker
  return { draw };
}
