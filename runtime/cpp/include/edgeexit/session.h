// The loop itself: stage -> branch -> gate, until everyone has left.
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

/// A loaded bundle, ready to classify; a thread has one of its own, or they take turns.
class Session {
 public:
  Session(Manifest manifest, std::unique_ptr<Engine> engine);

  /// Loads a bundle by the engine "openvino" or "onnxruntime", where it was compiled in.
  static Session load(const std::string& folder, const std::string& engine,
                      const EngineOptions& options = {});

  const Manifest& manifest() const { return manifest_; }

  /// Maps images uint8 (count, H, W, C), RGB, of the network's input size to what infer takes.
  std::vector<float> preprocess(const std::uint8_t* images, std::size_t count) const;

  /// Classifies images (count, C, H, W), normalized; any count, taken max_batch at a time.
  /// Throws InputError where a value is not finite, EngineError where a graph fails.
  std::vector<Answer> infer(const float* images, std::size_t count);

  /// Sets an exit's threshold, 0 to 1 or kNever, for all calls to come.
  void set_threshold(const std::string& exit, double threshold);

 private:
  void route(const float* images, std::size_t count, Answer* answers);
  void check(std::size_t exit, const Gate& gate, std::size_t count) const;

  Manifest manifest_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace edgeexit
