// The second part of the page: an image on the path between noise and itself.

import { HeatPath, blurInPixels } from "./heat.js";
import { normal } from "./noise.js";
import { aboveNoise, count, paintImage, paintModes } from "./paint.js";
import { named, player, say, slider } from "./ui.js";

const OWN = 64; // pixels along a side of a picture of one's own

/** A picture that the browser can draw as side×side grey values in [−1, 1], cut to a square. */
function greyValues(picture, side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, side, side);
  const width = picture.naturalWidth ?? picture.width;
  const height = picture.naturalHeight ?? picture.height;
  const edge = Math.min(width, height);
  context.drawImage(picture, (width - edge) / 2, (height - edge) / 2, edge, edge, 0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  return Float64Array.from({ length: side * side }, (_, i) => {
    const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
    return (0.299 * r + 0.587 * g + 0.114 * b) / 127.5 - 1;
  });
}

export function startHeat(part) {
  const get = named(part);
  let image = null;
  let noise = null;
  let path = null;

  function show() {
    if (!image) return;
    const t = Number(get("time").value);
    const r = Number(get("blur").value);
    path.r = r;
    const u = path.blurred(image, t);
    const z = path.point(noise, image, t);
    const isLit = aboveNoise(path, path.modes(image), t);
    paintImage(get("blurred"), u, path.width);
    paintImage(get("point"), z, path.width);
    paintModes(get("modes"), path.modes(z), path.width, isLit);
    const b = blurInPixels(t, r);
    const blur = r === 0 ? "no blur" : t === 0 ? "only the mean is left"
      : `blurred by ${b.toFixed(1)} pixels`;
    get("told").textContent =
      `t = ${t.toFixed(2)} · ${blur} · ${count(image, isLit)} of ${path.size} modes above the noise`;
  }

  /** Show another image of side×side pixels. */
  function use(values, side) {
    image = Float64Array.from(values);
    path = new HeatPath(side, side, 1);
    noise = normal(side * side, 1);
    show();
  }

  function press(chosen) {
    for (const button of part.querySelectorAll("[aria-pressed]"))
      button.setAttribute("aria-pressed", String(button === chosen));
  }

  async function useFile(file) {
    try {
      const picture = await createImageBitmap(file);
      use(greyValues(picture, OWN), OWN);
      press(null);
      say(part, `${file.name}, made grey and ${OWN}×${OWN} pixels. It has not left this device.`);
    } catch (error) {
      console.warn(error);
      say(part, `${file.name} is not a picture that this browser can read.`);
    }
  }

  function useStored(button) {
    const picture = button.querySelector("img");
    const side = picture.naturalWidth;
    if (!side) return; // it has not arrived
    use(greyValues(picture, side), side);
    press(button);
    say(part, "");
  }

  const timeSlider = slider(get("time"), (t) => t.toFixed(2), show);
  slider(get("blur"), (r) => r.toFixed(2), show);
  player(get("play"), get("time"), 4, () => {
    timeSlider.show();
    show();
  });
  for (const button of part.querySelectorAll("button[data-picture]"))
    button.addEventListener("click", () => useStored(button));
  get("file").addEventListener("change", () => get("file").files[0] && useFile(get("file").files[0]));
  part.addEventListener("dragover", (event) => event.preventDefault());
  part.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) useFile(event.dataTransfer.files[0]);
  });
  const first = part.querySelector("button[data-picture]");
  const begin = () => image ?? useStored(first);
  if (first.querySelector("img").complete) begin();
  else first.querySelector("img").addEventListener("load", begin);

  /** Offer what was drawn in the first part. */
  let drawn = null;
  get("drawn").addEventListener("click", () => {
    use(drawn.image, drawn.side);
    press(get("drawn"));
    say(part, "");
  });
  function offer(what) {
    drawn = what;
    paintImage(get("drawn").querySelector("canvas"), what.image, what.side);
    get("drawn").hidden = false;
    if (get("drawn").getAttribute("aria-pressed") === "true") use(what.image, what.side);
  }
  return { offer, use };
}
