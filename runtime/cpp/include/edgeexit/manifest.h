// manifest.json: what a bundle holds and how its files fit together. ../README.md of the Python
// runtime describes each field; what this library does not use is not read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace edgeexit {

/// The threshold of an exit that is switched off: its branch is not run.
inline constexpr double kNever = 2.0;

/// A named tensor; the shape leaves out the batch.
struct Tensor {
  std::string name;
  std::string dtype;  // float32, float16, int32, int64, uint8 or bool
  std::vector<std::int64_t> shape;

  std::size_t row_bytes() const;  // of one sample
  bool operator==(const Tensor& other) const {
    return name == other.name && dtype == other.dtype && shape == other.shape;
  }
};

/// One ONNX file; an exit's threshold, float32 (1), is not among its inputs.
struct Graph {
  std::string file;  // a plain name
  std::string sha256;
  std::int64_t size_bytes = 0;
  std::vector<Tensor> inputs, outputs;
};

struct Stage {
  std::string name;
  Graph graph;
};

/// An exit stands behind the stage of the same index.
struct Exit {
  std::string name;
  double threshold = 0;
  Graph graph;
};

/// How an image becomes an input.
struct Preprocessing {
  std::int64_t channels = 0, height = 0, width = 0;
  std::vector<double> mean, std;  // per channel, of values from 0 to 1
};

struct Manifest {
  std::string precision;
  bool half = false;  // whether what is not in 8 bits is FP16
  bool half_scales = false;  // INT8 with Q/DQ nodes whose scales are FP16
  bool needs_vnni = false;   // INT8 whose sums may exceed the 16 bits of x86 CPUs without VNNI
  std::size_t max_batch = 0;
  Preprocessing preprocessing;
  std::vector<std::string> class_names;
  std::vector<Stage> stages;
  std::vector<Exit> exits;  // as many as stages, the last always answers

  Tensor images() const;
  /// Tensors that are written by the end of a stage and read behind its exit.
  std::vector<std::string> read_later(std::size_t stage) const;
};

/// Reads and checks the manifest of a bundle's folder, which is believed in nothing.
/// Throws BundleError.
Manifest load_manifest(const std::string& folder);

/// Reads a file of the bundle: it lies in the folder, and has the size and SHA-256 of the manifest
/// and all of its data inside. Throws BundleError.
std::string read_graph(const std::string& folder, const Graph& graph);

}  // namespace edgeexit
