#include "edgeexit/session.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "edgeexit/error.h"

namespace edgeexit {
namespace {

constexpr float kMaxConfidence = 1 + 1.0f / 1024;  // a softmax may be rounded up

}  // namespace

Session::Session(Manifest manifest, std::unique_ptr<Engine> engine)
    : manifest_(std::move(manifest)), engine_(std::move(engine)) {
  for (std::size_t i = 0; i < manifest_.exits.size(); ++i)
    engine_->set_threshold(i, static_cast<float>(manifest_.exits[i].threshold));
}

Session Session::load(const std::string& folder, const std::string& engine,
                      const EngineOptions& options) {
  Manifest manifest = load_manifest(folder);
#ifdef EDGEEXIT_OPENVINO
  if (engine == "openvino") return {manifest, open_openvino(folder, manifest, options)};
#endif
#ifdef EDGEEXIT_ONNXRUNTIME
  if (engine == "onnxruntime") return {manifest, open_onnxruntime(folder, manifest, options)};
#endif
  throw InputError("engine: " + engine + " was not compiled in; see runtime/cpp/README.md");
}

std::vector<float> Session::preprocess(const std::uint8_t* images, std::size_t count) const {
  const Preprocessing& how = manifest_.preprocessing;
  const auto channels = static_cast<std::size_t>(how.channels);
  const auto pixels = static_cast<std::size_t>(how.height * how.width);
  std::vector<float> result(count * channels * pixels);
  for (std::size_t c = 0; c < channels; ++c) {
    const auto std = static_cast<float>(how.std[c]);  // with the Python runtime's operations
    const float scale = 1.0f / (255.0f * std);
    const float offset = static_cast<float>(how.mean[c]) / std;
    for (std::size_t n = 0; n < count; ++n)
      for (std::size_t p = 0; p < pixels; ++p) {
        const auto value = static_cast<float>(images[(n * pixels + p) * channels + c]);
        result[(n * channels + c) * pixels + p] = value * scale - offset;
      }
  }
  return result;
}

std::vector<Answer> Session::infer(const float* images, std::size_t count) {
  const std::size_t values = manifest_.images().row_bytes() / sizeof(float);
  if (!std::all_of(images, images + count * values, [](float value) { return std::isfinite(value); }))
    throw InputError("images: expected finite values, got NaN or infinity");
  std::vector<Answer> answers(count);
  for (std::size_t start = 0; start < count; start += manifest_.max_batch)
    route(images + start * values, std::min(manifest_.max_batch, count - start), &answers[start]);
  return answers;
}

void Session::set_threshold(const std::string& exit, double threshold) {
  if (!((threshold >= 0 && threshold <= 1) || threshold == kNever))
    throw InputError("thresholds: " + exit + ": expected 0 to 1 (or 2 for never), got " +
                     std::to_string(threshold));
  for (std::size_t i = 0; i + 1 < manifest_.exits.size(); ++i)
    if (manifest_.exits[i].name == exit) {
      engine_->set_threshold(i, static_cast<float>(threshold));
      manifest_.exits[i].threshold = threshold;
      return;
    }
  throw InputError("thresholds: " + exit + " is no exit of this bundle but the last");
}

void Session::route(const float* images, std::size_t count, Answer* answers) {
  std::vector<std::size_t> waiting(count);  // the image of each row of the batch
  std::iota(waiting.begin(), waiting.end(), 0u);
  engine_->set_images(images, count);
  for (std::size_t i = 0; i < manifest_.exits.size(); ++i) {
    engine_->run_stage(i);
    const bool is_last = i + 1 == manifest_.exits.size();
    if (!is_last && manifest_.exits[i].threshold == kNever) continue;
    const Gate gate = engine_->run_exit(i);
    check(i, gate, waiting.size());
    std::vector<std::size_t> rows, stay;
    for (std::size_t row = 0; row < waiting.size(); ++row) {
      if (is_last || gate.exits[row] != 0) {
        answers[waiting[row]] = {gate.labels[row], gate.confidences[row], i};
      } else {
        rows.push_back(row);
        stay.push_back(waiting[row]);
      }
    }
    if (rows.empty()) return;
    if (rows.size() < waiting.size()) engine_->keep(i, rows);
    waiting = std::move(stay);
  }
}

/// Rejects impossible outputs, mostly NaN from values that overflow FP16.
void Session::check(std::size_t exit, const Gate& gate, std::size_t count) const {
  const auto classes = static_cast<std::int64_t>(manifest_.class_names.size());
  for (std::size_t row = 0; row < count; ++row)
    if (!(gate.confidences[row] >= 0 && gate.confidences[row] <= kMaxConfidence) ||
        gate.labels[row] < 0 || gate.labels[row] >= classes || gate.exits[row] > 1)
      throw EngineError(manifest_.exits[exit].name + ": expected confidences of 0 to 1, labels of 0 to " +
                        std::to_string(classes - 1) + ", got " + std::to_string(gate.confidences[row]) +
                        " and " + std::to_string(gate.labels[row]) + "; export in FP32");
}

}  // namespace edgeexit
