// Runs the bundles of `edgeexit export` with any onnxruntime for JavaScript, in browsers and Node:
// stage -> branch -> gate, until every image has left. The gate is in the branch's graph.

/** The threshold of an exit that is switched off: its branch is not run. */
export const NEVER = 2;

const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const GATE = ["logits", "confidence", "label", "exits"];
export const MAX_CONFIDENCE = 1 + 2 ** -10; // a softmax may be rounded up

/**
 * Session options for exact INT8 products: x86 CPUs without VNNI add 8-bit products in 16 bits, which
 * saturate unless they are widened; 7-bit weights fit.
 * @param target the manifest's quantization.target
 */
export function exactProducts(target) {
  return target?.weight_bits === 7 ? {} : { extra: { "session.x64quantprecision": "1" } };
}

/**
 * Loads a bundle.
 * @param ort onnxruntime-web or onnxruntime-node
 * @param read (name) => Promise<Uint8Array>: a file of the bundle's folder
 * @param options options of every InferenceSession, such as execution providers
 */
export async function load(ort, read, options = {}) {
  const manifest = JSON.parse(new TextDecoder().decode(await read("manifest.json")));
  checkManifest(manifest);
  const exact = exactProducts(manifest.quantization?.target);
  const graphs = new Map();
  for (const part of [...manifest.stages, ...manifest.exits]) {
    const content = await read(part.graph.file);
    await checkFile(part.graph, content);
    graphs.set(part.name, await ort.InferenceSession.create(content, { ...exact, ...options }));
  }
  return new Session(ort, manifest, graphs);
}

export class Session {
  #ort;
  #graphs;
  #readLater;

  constructor(ort, manifest, graphs) {
    this.#ort = ort;
    this.#graphs = graphs;
    this.manifest = manifest;
    /** The threshold of every exit but the last; a new value applies from the next call on. */
    this.thresholds = Object.fromEntries(
      manifest.exits.slice(0, -1).map((exit) => [exit.name, exit.threshold]),
    );
    this.#readLater = manifest.stages.map((_, index) => {
      const behind = [...manifest.stages.slice(index + 1), ...manifest.exits.slice(index + 1)];
      return new Set(behind.flatMap((part) => part.graph.inputs.map((tensor) => tensor.name)));
    });
  }

  /** Converts pixels to the input of infer: see preprocess below. */
  preprocess(pixels, stride = 4) {
    return preprocess(pixels, this.manifest.preprocessing, stride);
  }

  /**
   * Classifies any number of images, Float32Array (N, C, H, W), normalized, in chunks of max_batch.
   * @returns for each image label, confidence, exit (its name) and milliseconds until it left
   */
  async infer(images) {
    const { manifest } = this;
    const size = product(manifest.preprocessing.input_size);
    if (images.length === 0 || images.length % size || !images.every(Number.isFinite))
      throw new Error(`images: expected finite float32, ${size} an image, got ${images.length}`);
    const answers = [];
    for (let start = 0; start < images.length; start += size * manifest.max_batch)
      answers.push(...(await this.#route(images.slice(start, start + size * manifest.max_batch))));
    return answers;
  }

  async #route(images) {
    const { manifest } = this;
    const size = manifest.preprocessing.input_size;
    const count = images.length / product(size);
    let tensors = { images: new this.#ort.Tensor("float32", images, [count, ...size]) };
    let waiting = Array.from({ length: count }, (_, row) => row); // the image of each row
    const answers = new Array(count);
    const start = performance.now();
    for (const [index, exit] of manifest.exits.entries()) {
      Object.assign(tensors, await this.#run(manifest.stages[index], tensors));
      const isLast = index === manifest.exits.length - 1;
      const threshold = isLast ? 0 : this.thresholds[exit.name];
      checkThreshold(exit.name, threshold);
      if (threshold === NEVER) continue;
      const limit = new this.#ort.Tensor("float32", Float32Array.of(threshold), [1]);
      const gate = await this.#run(exit, { ...tensors, threshold: limit }, ["threshold"]);
      const milliseconds = performance.now() - start;
      const stays = [];
      for (const [row, image] of waiting.entries()) {
        const [confidence, label] = [gate.confidence.data[row], gate.label.data[row]];
        if (!(confidence >= 0 && confidence <= MAX_CONFIDENCE && label in manifest.class_names))
          throw new Error(`${exit.name}: expected confidences of 0 to 1, got ${confidence}; export in FP32`);
        if (isLast || gate.exits.data[row])
          answers[image] = { label, confidence, exit: exit.name, milliseconds };
        else stays.push(row);
      }
      if (stays.length === 0) break;
      if (stays.length === waiting.length) continue;
      waiting = stays.map((row) => waiting[row]);
      tensors = Object.fromEntries(
        Object.entries(tensors)
          .filter(([name]) => this.#readLater[index].has(name))
          .map(([name, tensor]) => [name, this.#rows(tensor, stays)]),
      );
    }
    return answers;
  }

  #run(part, tensors, more = []) {
    const names = [...part.graph.inputs.map((tensor) => tensor.name), ...more];
    const feeds = Object.fromEntries(names.map((name) => [name, tensors[name]]));
    return this.#graphs.get(part.name).run(feeds);
  }

  /** Returns these rows of a tensor. */
  #rows(tensor, rows) {
    const size = product(tensor.dims.slice(1));
    const data = new tensor.data.constructor(rows.length * size);
    rows.forEach((row, to) => data.set(tensor.data.subarray(row * size, (row + 1) * size), to * size));
    return new this.#ort.Tensor(tensor.type, data, [rows.length, ...tensor.dims.slice(1)]);
  }
}

/** Rejects what is no threshold: no confidence reaches NaN or undefined. */
export function checkThreshold(name, value) {
  if (!(value >= 0 && value <= NEVER))
    throw new Error(`thresholds: ${name}: expected 0 to 1, or ${NEVER} for never, got ${value}`);
}

/**
 * Converts pixels, uint8 (N, H, W, stride) of the network's input size, to the input of infer.
 * @param stride bytes per pixel: 3 for RGB, 4 for RGBA as from canvases, 1 for grey; a network of one
 *   channel reads the first byte, so colours must be turned to grey before
 */
export function preprocess(pixels, { input_size: [channels, height, width], mean, std }, stride) {
  const area = height * width;
  const count = pixels.length / (area * stride);
  if (!Number.isInteger(count) || stride < channels)
    throw new Error(`pixels: expected ${area * Math.max(stride, channels)} bytes an image, got ${pixels.length} of ${stride} a pixel`);
  const round = Math.fround; // same operations as the Python runtime, in float32
  const images = new Float32Array(count * channels * area);
  for (let c = 0; c < channels; c++) {
    const scale = round(1 / round(255 * round(std[c])));
    const offset = round(round(mean[c]) / round(std[c]));
    for (let n = 0; n < count; n++)
      for (let p = 0; p < area; p++) {
        const value = pixels[(n * area + p) * stride + c];
        images[(n * channels + c) * area + p] = round(value * scale) - offset;
      }
  }
  return images;
}

export const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

/** Checks the fields that the loop relies on; the Python and C++ runtimes check every field. */
function checkManifest(manifest) {
  const expect = (holds, what) => {
    if (!holds) throw new Error(`manifest.json: expected ${what}; export the bundle again`);
  };
  expect(manifest?.schema_version === 1, "schema_version 1, as this edgeexit.mjs reads");
  const { stages, exits, preprocessing } = manifest;
  expect(Array.isArray(stages) && Array.isArray(exits) && stages.length > 0, "stages and exits");
  expect(Number.isInteger(manifest.max_batch) && manifest.max_batch > 0, "max_batch above 0");
  expect(exits.length === stages.length && exits.every((exit, i) => exit.stage === stages[i].name),
    "one exit behind each stage, in their order");
  expect(exits.every((exit) => exit.threshold >= 0 && exit.threshold <= NEVER), "thresholds of 0 to 2");
  const [channels] = preprocessing.input_size;
  expect([preprocessing.mean, preprocessing.std].every((values) => values.length === channels),
    "a mean and std for each channel");
  const written = new Set(["images"]);
  for (const [index, stage] of stages.entries())
    for (const part of [stage, exits[index]]) {
      expect(PLAIN_NAME.test(part.name) && PLAIN_NAME.test(part.graph.file),
        `plain names in the bundle's folder, got ${part.name} and ${part.graph.file}`);
      expect(part.graph.inputs.every((tensor) => written.has(tensor.name)),
        `inputs of ${part.name} that a stage before it writes`);
      const outputs = part.graph.outputs.map((tensor) => tensor.name);
      if (part === stage) outputs.forEach((name) => written.add(name));
      else expect(outputs.join() === GATE.join(), `outputs ${GATE} of ${part.name}`);
    }
  expect(new Set([...stages, ...exits].map((part) => part.name)).size === 2 * stages.length,
    "stages and exits of different names");
}

async function checkFile(graph, content) {
  if (content.length !== graph.size_bytes)
    throw new Error(`${graph.file}: expected ${graph.size_bytes} bytes, got ${content.length}`);
  if (!globalThis.crypto?.subtle)
    throw new Error("SHA-256: browsers have it on https and localhost alone; serve the page there");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const text = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (text !== graph.sha256)
    throw new Error(`${graph.file}: changed since it was exported (SHA-256 differs); copy it again`);
}
