// What runs a bundle's graphs over tensors that it owns; it knows nothing of samples that leave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "edgeexit/manifest.h"

namespace edgeexit {

/// What an exit's graph says of the samples that reached it; valid until its next run.
struct Gate {
  const float* confidences;    // (n) the score, 0 to 1
  const std::int32_t* labels;  // (n)
  const std::uint8_t* exits;   // (n) 1 where the confidence is at least the threshold
};

/// Runs the graphs of one bundle over a batch of 1 to max_batch samples. A further engine, such as
/// TensorRT, implements these five functions; where it computes in the host's memory,
/// src/host_engine.h has most of them, and src/openvino_engine.cpp is an example.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Begins a batch of images (count, C, H, W), which are copied or stay as they are until the next.
  virtual void set_images(const float* images, std::size_t count) = 0;
  virtual void run_stage(std::size_t stage) = 0;
  virtual Gate run_exit(std::size_t exit) = 0;
  /// Goes on with these rows, ascending, in all tensors that are read behind this exit.
  virtual void keep(std::size_t exit, const std::vector<std::size_t>& rows) = 0;
  virtual void set_threshold(std::size_t exit, float threshold) = 0;
};

struct EngineOptions {
  int threads = 0;             // per graph on the CPU; 0 leaves it to the engine
  std::string device = "CPU";  // OpenVINO's name of it; ONNX Runtime's is the CPU here
};

/// Each is there where it was compiled in: EDGEEXIT_OPENVINO, EDGEEXIT_ONNXRUNTIME.
std::unique_ptr<Engine> open_openvino(const std::string& folder, const Manifest& manifest,
                                      const EngineOptions& options = {});
std::unique_ptr<Engine> open_onnxruntime(const std::string& folder, const Manifest& manifest,
                                         const EngineOptions& options = {});

}  // namespace edgeexit
