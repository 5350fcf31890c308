// The page: starts its three parts, and lets tests and the curious draw from the console:
//     (await window.playground.draw({ label: 7, seed: 3, solver: "heun", steps: 10 })).image

import { startCloud } from "./part_cloud.js";
import { startDrawing } from "./part_draw.js";
import { startHeat } from "./part_heat.js";
import { say } from "./ui.js";

const root = document.getElementById("playground");

/** Start a part; if that fails, say so in its place and leave the others alone. */
function start(name, begin) {
  const part = root.querySelector(`[data-part="${name}"]`);
  try {
    return begin(part);
  } catch (error) {
    console.warn(error);
    say(part, `This part cannot run in this browser (${error.message}).`);
    return null;
  }
}

const heat = start("heat", startHeat);
const drawing = start("draw", (part) => startDrawing(part, (image) => heat?.offer(image)));
const cloud = start("cloud", startCloud);

root.dataset.ready = "true";
window.playground = { draw: drawing?.draw, heat, cloud };
