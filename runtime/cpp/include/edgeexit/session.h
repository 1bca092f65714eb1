// The inference loop: stage -> branch -> gate, until every sample has left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edgeexit/engine.h"
#include "edgeexit/manifest.h"

namespace edgeexit {

struct Answer {
  std::int32_t label;
  float confidence;
  std::size_t exit;  // 0-based, in the order of Manifest::exits
};

/// A loaded bundle, ready to classify. Only one thread at a time may use it.
class Session {
 public:
  Session(Manifest manifest, std::unique_ptr<Engine> engine);

  /// Loads a bundle with the engine "openvino" or "onnxruntime", if it was compiled in.
  static Session load(const std::string& folder, const std::string& engine,
                      const EngineOptions& options = {});

  const Manifest& manifest() const { return manifest_; }

  /// Converts uint8 images (count, H, W, C), RGB, of the network's input size to the input of infer.
  std::vector<float> preprocess(const std::uint8_t* images, std::size_t count) const;

  /// Classifies any number of images (count, C, H, W), normalized, in chunks of max_batch.
  /// Throws InputError if a value is not finite, EngineError if a graph fails.
  std::vector<Answer> infer(const float* images, std::size_t count);

  /// Sets an exit's threshold, 0 to 1 or kNever, for all later calls.
  void set_threshold(const std::string& exit, double threshold);

 private:
  void route(const float* images, std::size_t count, Answer* answers);
  void check(std::size_t exit, const Gate& gate, std::size_t count) const;

  Manifest manifest_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace edgeexit
