#include "host_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "edgeexit/error.h"

namespace edgeexit {

namespace {

/// Memory for this many rows, not cleared: the system allocates only pages that are touched.
Memory allocate(std::size_t row_bytes, std::size_t rows) {
  const std::size_t most = std::numeric_limits<std::ptrdiff_t>::max() / rows;
  Memory memory(row_bytes > most ? nullptr : new (std::nothrow) std::byte[row_bytes * rows]);
  if (memory == nullptr)
    throw EngineError("the tensors of " + std::to_string(rows) +
                      " images do not fit into memory; export with a smaller --max-batch");
  return memory;
}

}  // namespace

GateTensors::GateTensors(std::size_t max_batch, std::size_t classes) : classes_(classes) {
  static_assert(sizeof(bool) == 1, "engines write a byte for each bool");
  tensors_["logits"] = allocate(classes * sizeof(float), max_batch);
  tensors_["confidence"] = allocate(sizeof(float), max_batch);
  tensors_["label"] = allocate(sizeof(std::int32_t), max_batch);
  tensors_["exits"] = allocate(sizeof(bool), max_batch);
}

Gate GateTensors::gate(std::size_t count) {
  const auto* logits = static_cast<const float*>(at("logits"));
  auto* confidences = static_cast<float*>(at("confidence"));
  for (std::size_t row = 0; row < count; ++row, logits += classes_)
    if (!std::all_of(logits, logits + classes_, [](float value) { return std::isfinite(value); }))
      confidences[row] = std::numeric_limits<float>::quiet_NaN();
  return {confidences, static_cast<const std::int32_t*>(at("label")),
          static_cast<const std::uint8_t*>(at("exits"))};
}

HostTensors::HostTensors(const Manifest& manifest) : max_batch_(manifest.max_batch) {
  std::vector<Tensor> all = {manifest.images()};
  for (std::size_t i = 0; i < manifest.stages.size(); ++i) {
    const auto& outputs = manifest.stages[i].graph.outputs;
    all.insert(all.end(), outputs.begin(), outputs.end());
    read_later_.push_back(manifest.read_later(i));
  }
  for (const Tensor& tensor : all) {
    const std::size_t bytes = tensor.row_bytes();
    tensors_[tensor.name] = {bytes, allocate(bytes, max_batch_)};
  }
}

void HostTensors::set_images(const float* images, std::size_t count) {
  if (count < 1 || count > max_batch_)
    throw InputError("images: expected 1 to " + std::to_string(max_batch_) + " at once, got " +
                     std::to_string(count));
  const Rows& rows = tensors_.at("images");
  std::memcpy(rows.data.get(), images, count * rows.bytes);
  count_ = count;
}

void HostTensors::keep(std::size_t exit, const std::vector<std::size_t>& rows) {
  for (const std::string& name : read_later_[exit]) {
    const Rows& tensor = tensors_.at(name);
    for (std::size_t to = 0; to < rows.size(); ++to)  // ascending, so that no row is overwritten before it is read
      if (rows[to] != to)
        std::memcpy(&tensor.data[to * tensor.bytes], &tensor.data[rows[to] * tensor.bytes], tensor.bytes);
  }
  count_ = rows.size();
}

}  // namespace edgeexit
