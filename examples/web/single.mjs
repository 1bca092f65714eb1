// Runs a single file of `edgeexit pack --required-thresholds` with any onnxruntime for JavaScript:
// an image that leaves early skips the rest, which is in conditional branches of the file's graph.
import { checkThreshold, exactProducts, MAX_CONFIDENCE, preprocess, product } from "./edgeexit.mjs";

const PREFIX = "edgeexit."; // of metadata keys

/**
 * Loads a single file; the session has thresholds, preprocess and infer like a bundle's.
 * @param ort onnxruntime-web or onnxruntime-node
 * @param content Uint8Array, the file
 * @param options options of the InferenceSession, such as execution providers
 */
export async function loadFile(ort, content, options = {}) {
  const about = readMetadata(content);
  const quiet = { logSeverityLevel: 3 }; // onnxruntime warns about inputs with defaults
  return new SingleFile(ort, about, await ort.InferenceSession.create(content, { ...exactProducts(about.quantization?.target), ...quiet, ...options }));
}

class SingleFile {
  #ort;
  #graph;

  constructor(ort, about, graph) {
    this.#ort = ort;
    this.#graph = graph;
    this.manifest = { ...about, exits: about.exits.map((name) => ({ name })) };
    /** The thresholds of the file's exits but the last; a new value applies from the next call on. */
    this.thresholds = { ...about.thresholds };
    if (Object.keys(this.thresholds).length > 0 && !graph.inputNames.includes("thresholds"))
      throw new Error("thresholds: the file has them inside; pack it with --required-thresholds");
  }

  preprocess(pixels, stride = 4) {
    return preprocess(pixels, this.manifest.preprocessing, stride);
  }

  /** Classifies images, Float32Array (N, C, H, W), normalized, one by one: see Session.infer. */
  async infer(images) {
    const size = this.manifest.preprocessing.input_size;
    const step = product(size);
    if (images.length === 0 || images.length % step || !images.every(Number.isFinite))
      throw new Error(`images: expected finite float32, ${step} an image, got ${images.length}`);
    const { class_names, exits } = this.manifest;
    const order = exits.map((exit) => exit.name).filter((name) => name in this.thresholds);
    order.forEach((name) => checkThreshold(name, this.thresholds[name]));
    const values = Float32Array.from(order, (name) => this.thresholds[name]);
    const more = order.length ? { thresholds: new this.#ort.Tensor("float32", values, [order.length]) } : {};
    const answers = [];
    for (let start = 0; start < images.length; start += step) {
      const begun = performance.now();
      const image = new this.#ort.Tensor("float32", images.slice(start, start + step), [1, ...size]);
      const got = await this.#graph.run({ images: image, ...more });
      const milliseconds = performance.now() - begun;
      const [label, exit, confidence] = ["labels", "exits", "confidences"].map((name) => got[name].data[0]);
      if (!(confidence >= 0 && confidence <= MAX_CONFIDENCE && label in class_names && exit in exits))
        throw new Error(`expected a confidence of 0 to 1, got ${confidence}; pack an FP32 bundle`);
      answers.push({ label, confidence, exit: exits[exit].name, milliseconds });
    }
    return answers;
  }
}

/** Returns a file's metadata, which onnxruntime for JavaScript does not expose. */
function readMetadata(content) {
  const about = {};
  try {
    for (const [field, entry] of fields(content)) {
      if (field !== 14) continue; // ModelProto.metadata_props
      const text = Object.fromEntries([...fields(entry)].map(([n, it]) => [n, new TextDecoder().decode(it)]));
      if (text[1]?.startsWith(PREFIX)) about[text[1].slice(PREFIX.length)] = JSON.parse(text[2]);
    }
  } catch (error) {
    throw new Error(`not an ONNX file (${error.message})`);
  }
  if (about.format !== 1)
    throw new Error("expected a file that 'edgeexit pack' of this version has written");
  return about;
}

/** Yields number and content of a protobuf message's length-delimited fields. */
function* fields(bytes) {
  let at = 0;
  const number = () => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      if (at >= bytes.length) throw new Error("it is cut off");
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    const kind = tag % 8;
    if (kind === 0) number();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const size = number();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + size)];
      at += size;
    } else throw new Error(`wire type ${kind}`);
  }
  if (at > bytes.length) throw new Error("it is cut off");
}
