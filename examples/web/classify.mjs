// Classifies raw frames with a bundle or a single file in Node; prints a line "label exit confidence" for each.
//
//   node classify.mjs BUNDLE|MODEL.onnx FRAMES [--engine onnxruntime-node|onnxruntime-web] [--batch N] [--threshold exit1=0.9]...
//
// FRAMES holds RGB images (or grey ones for a network of one channel) of the network's input size.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { load } from "./edgeexit.mjs";
import { loadFile } from "./single.mjs";

const { values, positionals: [bundle, file] } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: "string", default: "onnxruntime-node" },
    batch: { type: "string", default: "1" },
    threshold: { type: "string", multiple: true, default: [] },
  },
});

async function main() {
  if (!file || !["onnxruntime-node", "onnxruntime-web"].includes(values.engine))
    throw new Error("usage: node classify.mjs BUNDLE|MODEL.onnx FRAMES [--engine onnxruntime-node|onnxruntime-web]");
  const ort = await import(values.engine);
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  const options = { intraOpNumThreads: 1, executionProviders: [values.engine.endsWith("web") ? "wasm" : "cpu"] };
  const session = bundle.endsWith(".onnx")
    ? await loadFile(ort, await readFile(bundle), options)
    : await load(ort, (name) => readFile(join(bundle, name)), options);
  for (const setting of values.threshold) {
    const [name, value] = setting.split("=");
    if (!(name in session.thresholds)) throw new Error(`thresholds: ${name} is no exit but the last`);
    session.thresholds[name] = Number(value);
  }
  const channels = session.manifest.preprocessing.input_size[0];
  const images = session.preprocess(await readFile(file), channels);
  const step = session.manifest.preprocessing.input_size.reduce((a, b) => a * b) * Number(values.batch);
  for (let start = 0; start < images.length; start += step)
    for (const { label, exit, confidence } of await session.infer(images.subarray(start, start + step)))
      console.log(`${label} ${exit} ${confidence}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
