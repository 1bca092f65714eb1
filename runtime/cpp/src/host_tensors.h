// Tensors between graphs in host memory, for engines that compute there: each has a fixed address,
// and when samples leave, the rows of the others move up.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edgeexit/engine.h"
#include "edgeexit/manifest.h"

namespace edgeexit {

using Memory = std::unique_ptr<std::byte[]>;

/// The four outputs of an exit, and its threshold.
class GateTensors {
 public:
  /// Throws EngineError if there is too little memory.
  GateTensors(std::size_t max_batch, std::size_t classes);

  /// The address of the tensor of this name.
  void* at(const std::string& name) const { return tensors_.at(name).get(); }
  /// The outputs of count samples; a confidence is NaN if a logit is not finite, as engines'
  /// maximum may skip NaN.
  Gate gate(std::size_t count);

  float threshold = 0;

 private:
  std::map<std::string, Memory> tensors_;
  std::size_t classes_;
};

class HostTensors {
 public:
  /// Allocates memory for max_batch samples. Throws EngineError if there is too little.
  explicit HostTensors(const Manifest& manifest);

  void* at(const std::string& name) const { return tensors_.at(name).data.get(); }
  void set_images(const float* images, std::size_t count);
  void keep(std::size_t exit, const std::vector<std::size_t>& rows);
  std::size_t count() const { return count_; }

 private:
  struct Rows {
    std::size_t bytes;
    Memory data;
  };
  std::map<std::string, Rows> tensors_;
  std::vector<std::vector<std::string>> read_later_;  // by exit
  std::size_t max_batch_, count_ = 0;
};

}  // namespace edgeexit
