// The page: after every stroke the drawing is classified with the bundle of ?bundle=FOLDER/ (default
// bundle/), or the single file of ?model=MODEL.onnx.
import * as ort from "onnxruntime-web";

import { load } from "./edgeexit.mjs";
import { loadFile } from "./single.mjs";

const SCANNED = 8; // the digits that the demo's network knows were scanned at 8x8 and enlarged

const element = (id) => document.getElementById(id);
const drawing = element("drawing");
const pen = drawing.getContext("2d", { willReadFrequently: true });

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** Returns the drawing at the network's input size, RGBA. */
function pixels(session) {
  const [, height, width] = session.manifest.preprocessing.input_size;
  let source = drawing;
  for (const [columns, rows] of [[SCANNED, SCANNED], [width, height]]) {
    const context = canvasOf(columns, rows).getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, columns, rows);
    source = context.canvas;
  }
  return source.getContext("2d").getImageData(0, 0, width, height).data;
}

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, drawing.width, drawing.height);
}

function drawWith(done) {
  Object.assign(pen, { strokeStyle: "#fff", lineWidth: 28, lineCap: "round", lineJoin: "round" });
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    pen.beginPath();
    pen.moveTo(event.offsetX, event.offsetY);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (event.buttons === 0) return;
    pen.lineTo(event.offsetX, event.offsetY);
    pen.stroke();
  });
  drawing.addEventListener("pointerup", done);
}

function showExits(session, changed) {
  for (const { name } of session.manifest.exits) {
    const row = element("exits").insertRow();
    row.id = `row-${name}`;
    row.insertCell().textContent = name;
    const [control, value] = [row.insertCell(), row.insertCell()];
    if (!(name in session.thresholds)) continue; // the last exit always answers
    const slider = Object.assign(document.createElement("input"), {
      type: "range", min: 0, max: 1, step: 0.01, id: `threshold-${name}`,
      value: session.thresholds[name], ariaLabel: `threshold of ${name}`,
    });
    value.textContent = slider.value;
    slider.addEventListener("input", () => {
      session.thresholds[name] = Number(slider.value);
      value.textContent = slider.value;
      changed();
    });
    control.append(slider);
  }
}

function show(session, { label, confidence, exit, milliseconds }) {
  element("answer").textContent =
    `${session.manifest.class_names[label]}: left at ${exit}, confidence ${confidence.toFixed(3)}, ` +
    `${milliseconds.toFixed(2)} ms`;
  for (const { name } of session.manifest.exits)
    element(`row-${name}`).classList.toggle("left", name === exit);
}

async function read(name, folder = "") {
  const response = await fetch(new URL(name, new URL(folder, location.href)));
  if (!response.ok) throw new Error(`${folder}${name}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function main() {
  ort.env.wasm.numThreads = 1; // more threads need a cross-origin isolated page
  const asked = new URLSearchParams(location.search);
  const [model, folder] = [asked.get("model"), asked.get("bundle") ?? "bundle/"];
  const session = model === null ? await load(ort, (name) => read(name, folder)) : await loadFile(ort, await read(model));
  let last = Promise.resolve();
  const classify = () => {
    // one call at a time: a session does not allow more
    last = last
      .then(() => session.infer(session.preprocess(pixels(session))))
      .then(([answer]) => show(session, answer))
      .catch(fail);
  };
  clear();
  drawWith(classify);
  showExits(session, classify);
  element("clear").addEventListener("click", () => {
    clear();
    classify();
  });
  await session.infer(session.preprocess(pixels(session))); // the first call is slower
  element("answer").textContent = "draw with the mouse or a finger";
}

function fail(error) {
  element("answer").textContent = "";
  element("error").textContent = error.message;
}

main().catch(fail);
