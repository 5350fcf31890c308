// The networks that the page draws with, and the runtime that runs them: onnxruntime-web, compiled
// to WebAssembly, served with this page. Both are fetched when the first drawing asks for them.

import { HeatPath } from "./heat.js";

const CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat",
                 "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/** To offer another network, add its ONNX file (tools/playground.py) and a row here. */
export const NETWORKS = {
  fashion: { file: "fashion.onnx", size: 28, r: 1, classes: CLASSES, noClass: 10,
             solver: "exponential_2m", steps: 20, lastTime: 0.9,
             guidance: 1.5, interval: [0.1, 1.0] },
};

const here = (name) => new URL(name, import.meta.url).href;
const RUNTIME = here("../vendor/onnxruntime-web/"); // put there by tools/site_assets.py
let runtime = null;

async function startRuntime() {
  if (typeof WebAssembly !== "object")
    throw new Error("This browser has no WebAssembly, so the network cannot run here.");
  const ort = await import(`${RUNTIME}ort.wasm.min.mjs`);
  ort.env.wasm.wasmPaths = RUNTIME;
  ort.env.wasm.numThreads = 1; // more would need headers that many servers do not send
  return ort;
}

/** A network, ready to run: its row of the table, its path, and run(images, t, labels) → images. */
export async function openNetwork(name) {
  runtime ??= startRuntime();
  const ort = await runtime.catch((error) => {
    runtime = null; // so that the next press of the button tries again
    throw error;
  });
  const network = NETWORKS[name];
  const session = await ort.InferenceSession.create(here(network.file));
  const pixels = network.size ** 2;

  async function run(images, t, labels) {
    const B = images.length;
    const z = new Float32Array(B * pixels);
    images.forEach((image, i) => z.set(image, i * pixels));
    const { x_hat } = await session.run({
      z: new ort.Tensor("float32", z, [B, 1, network.size, network.size]),
      t: new ort.Tensor("float32", new Float32Array(B).fill(t), [B]),
      label: new ort.Tensor("int64", BigInt64Array.from(labels, BigInt), [B]),
    });
    return images.map((_, i) => Float64Array.from(x_hat.data.subarray(i * pixels, (i + 1) * pixels)));
  }

  return { ...network, path: new HeatPath(network.size, network.size, network.r), run };
}
