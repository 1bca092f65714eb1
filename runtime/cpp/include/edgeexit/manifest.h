// manifest.json: the contents of a bundle and how its files fit together. docs/reference/bundle.md
// describes each field; fields that this library does not use are not read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace edgeexit {

/// The threshold of an exit that is switched off: its branch is not run.
inline constexpr double kNever = 2.0;

/// A named tensor; the shape omits the batch dimension.
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

/// An exit follows the stage of the same index.
struct Exit {
  std::string name;
  double threshold = 0;
  Graph graph;
};

/// Conversion of images to network inputs.
struct Preprocessing {
  std::int64_t channels = 0, height = 0, width = 0;
  std::vector<double> mean, std;  // per channel, for values scaled to 0 to 1
};

struct Manifest {
  std::string precision;
  bool half = false;  // whether everything that is not in 8 bits is FP16
  bool half_scales = false;  // INT8 with Q/DQ nodes whose scales are FP16
  bool needs_vnni = false;   // INT8 whose sums may exceed the 16 bits of x86 CPUs without VNNI
  std::size_t max_batch = 0;
  Preprocessing preprocessing;
  std::vector<std::string> class_names;
  std::vector<Stage> stages;
  std::vector<Exit> exits;  // as many as stages, the last always answers

  Tensor images() const;
  /// Tensors that are written by the end of a stage and read after its exit.
  std::vector<std::string> read_later(std::size_t stage) const;
};

/// Reads the manifest of a bundle's folder, and checks all of it. Throws BundleError.
Manifest load_manifest(const std::string& folder);

/// Reads a file of the bundle, and checks that it is in the folder, has the manifest's size and
/// SHA-256, and holds all of its data. Throws BundleError.
std::string read_graph(const std::string& folder, const Graph& graph);

}  // namespace edgeexit
