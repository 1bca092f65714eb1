// Base of engines with tensors in host memory: everything but opening and running a graph.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "edgeexit/engine.h"
#include "edgeexit/manifest.h"
#include "host_tensors.h"

namespace edgeexit {

/// A stage or an exit, and the addresses of its tensors for max_batch samples.
struct PlacedPart {
  std::string name;
  std::vector<std::pair<Tensor, void*>> inputs, outputs;
  float* threshold = nullptr;  // of exits only
};

/// Part is a PlacedPart with the library's object for its graph.
template <typename Part>
class HostEngine : public Engine {
 public:
  void set_images(const float* images, std::size_t count) override { tensors_.set_images(images, count); }
  void run_stage(std::size_t stage) override { run(stages_[stage]); }
  Gate run_exit(std::size_t exit) override {
    run(exits_[exit]);
    return gates_[exit]->gate(count());
  }
  void keep(std::size_t exit, const std::vector<std::size_t>& rows) override { tensors_.keep(exit, rows); }
  void set_threshold(std::size_t exit, float threshold) override { gates_[exit]->threshold = threshold; }

 protected:
  explicit HostEngine(const Manifest& manifest) : tensors_(manifest) {}

  /// Opens every graph by open(graph, inputs, part), with the inputs of the file.
  template <typename Open>
  void open_parts(const Manifest& manifest, const Open& open) {
    for (std::size_t i = 0; i < manifest.stages.size(); ++i) {
      const Stage& stage = manifest.stages[i];
      const Exit& exit = manifest.exits[i];
      stages_.push_back(place(stage.name, stage.graph, nullptr));
      open(stage.graph, stage.graph.inputs, stages_.back());
      gates_.push_back(std::make_unique<GateTensors>(manifest.max_batch, manifest.class_names.size()));
      exits_.push_back(place(exit.name, exit.graph, gates_.back().get()));
      std::vector<Tensor> inputs = exit.graph.inputs;
      inputs.push_back({"threshold", "float32", {}});  // (1) like a batch of 1
      open(exit.graph, inputs, exits_.back());
    }
  }

  virtual void run(Part& part) = 0;

  std::size_t count() const { return tensors_.count(); }

 private:
  Part place(const std::string& name, const Graph& graph, GateTensors* gate) const {
    Part part;
    part.name = name;
    for (const Tensor& tensor : graph.inputs) part.inputs.emplace_back(tensor, tensors_.at(tensor.name));
    for (const Tensor& tensor : graph.outputs)
      part.outputs.emplace_back(tensor, gate != nullptr ? gate->at(tensor.name) : tensors_.at(tensor.name));
    if (gate != nullptr) part.threshold = &gate->threshold;
    return part;
  }

  HostTensors tensors_;
  std::vector<Part> stages_, exits_;
  std::vector<std::unique_ptr<GateTensors>> gates_;
};

}  // namespace edgeexit
