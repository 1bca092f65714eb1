// Interface of engines, which run a bundle's graphs on tensors they own; the session routes samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "edgeexit/manifest.h"

namespace edgeexit {

/// Outputs of an exit's graph for the samples that reached it; valid until its next run.
struct Gate {
  const float* confidences;    // (n) the score, 0 to 1
  const std::int32_t* labels;  // (n)
  const std::uint8_t* exits;   // (n) 1 where the confidence is at least the threshold
};

/// Runs the graphs of one bundle on a batch of 1 to max_batch samples. Another engine, such as
/// TensorRT, implements these five functions; if it computes in host memory, src/host_engine.h has
/// most of them, and src/openvino_engine.cpp is an example.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Starts a batch of images (count, C, H, W); unless copied, they must not change until the next.
  virtual void set_images(const float* images, std::size_t count) = 0;
  virtual void run_stage(std::size_t stage) = 0;
  virtual Gate run_exit(std::size_t exit) = 0;
  /// Keeps only these rows, ascending, in all tensors that are read after this exit.
  virtual void keep(std::size_t exit, const std::vector<std::size_t>& rows) = 0;
  virtual void set_threshold(std::size_t exit, float threshold) = 0;
};

struct EngineOptions {
  int threads = 0;             // per graph on the CPU; 0 leaves it to the engine
  std::string device = "CPU";  // OpenVINO's name of the device; ONNX Runtime runs on the CPU here
};

/// Each exists only if it was compiled in: EDGEEXIT_OPENVINO, EDGEEXIT_ONNXRUNTIME.
std::unique_ptr<Engine> open_openvino(const std::string& folder, const Manifest& manifest,
                                      const EngineOptions& options = {});
std::unique_ptr<Engine> open_onnxruntime(const std::string& folder, const Manifest& manifest,
                                         const EngineOptions& options = {});

}  // namespace edgeexit
