// OpenVINO: the ONNX files of any bundle, on a CPU, or Intel's GPU or NPU.
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>
#include <openvino/opsets/opset8.hpp>
#include <sstream>

#include "edgeexit/engine.h"
#include "edgeexit/error.h"
#include "host_engine.h"

namespace edgeexit {
namespace {

const std::map<std::string, ov::element::Type> kTypes = {
    {"float32", ov::element::f32}, {"float16", ov::element::f16}, {"int32", ov::element::i32},
    {"int64", ov::element::i64},   {"uint8", ov::element::u8},    {"bool", ov::element::boolean}};

/// The message of an error of OpenVINO, without the lines about its origin.
std::string reason(const std::exception& error) {
  std::istringstream lines(error.what());
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && line.find("Exception from src") == std::string::npos) return line;
  return "no reason given";
}

/// Checks a sum of products of the largest 8-bit integers: 16 times 1 x 1. Without VNNI, oneDNN adds
/// pairs of such products in 16 bits, which saturate silently.
bool are_products_exact(ov::Core& core) {
  constexpr std::size_t channels = 16;
  namespace op = ov::opset8;
  const auto number = [](float value) { return op::Constant::create(ov::element::f32, {}, {value}); };
  const auto images = std::make_shared<op::Parameter>(ov::element::f32, ov::Shape{1, channels});
  const auto features = std::make_shared<op::FakeQuantize>(images, number(0), number(1), number(0),
                                                           number(1), 256);
  const auto integers = op::Constant::create(ov::element::i8, {channels, channels},
                                             std::vector<std::int8_t>(channels * channels, 127));
  const auto weights = std::make_shared<op::Multiply>(
      std::make_shared<op::Convert>(integers, ov::element::f32), number(1.0f / 127));
  const auto product = std::make_shared<op::MatMul>(features, weights, false, true);
  const auto model = std::make_shared<ov::Model>(ov::OutputVector{product}, ov::ParameterVector{images});
  auto request = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32))
                     .create_infer_request();
  ov::Tensor input = request.get_input_tensor(), output = request.get_output_tensor();
  std::fill_n(input.data<float>(), channels, 1.0f);
  request.infer();
  return std::all_of(output.data<float>(), output.data<float>() + channels,
                     [](float sum) { return std::abs(sum - channels) < 0.01f * channels; });
}

struct Part : PlacedPart {
  ov::CompiledModel model;
  std::map<std::size_t, ov::InferRequest> requests;  // by batch size
};

/// Checks a graph's tensors: buffers of the manifest's sizes and types are bound to them.
template <typename Ports>
void check_tensors(const std::string& file, const std::string& kind,
                   const std::vector<Tensor>& expected, const Ports& ports) {
  if (ports.size() != expected.size())
    throw BundleError(file + ": expected " + std::to_string(expected.size()) + " " + kind +
                      " by the manifest, got " + std::to_string(ports.size()));
  for (const Tensor& tensor : expected) {
    bool fits = false;
    for (const auto& port : ports) {
      if (port.get_names().count(tensor.name) == 0) continue;
      const ov::PartialShape shape = port.get_partial_shape();
      fits = port.get_element_type() == kTypes.at(tensor.dtype) && shape.rank().is_static() &&
             shape.size() == tensor.shape.size() + 1;
      for (std::size_t i = 0; fits && i < tensor.shape.size(); ++i)
        fits = shape[i + 1].compatible(ov::Dimension(tensor.shape[i]));
    }
    if (!fits)
      throw BundleError(file + ": its " + kind + " has no " + tensor.name + " " + tensor.dtype +
                        " of the shape in the manifest; export the bundle again");
  }
}

class OpenVinoEngine : public HostEngine<Part> {
 public:
  OpenVinoEngine(const std::string& folder, const Manifest& manifest, const EngineOptions& options)
      : HostEngine(manifest), device_(options.device) {
    configure(manifest, options);
    open_parts(manifest, [&](const Graph& graph, const std::vector<Tensor>& inputs, Part& part) {
      open(read_graph(folder, graph), graph, inputs, manifest.max_batch == 1, part);
    });
  }

 private:
  void configure(const Manifest& manifest, const EngineOptions& options) {
    try {
      const auto can = core_.get_property(device_, ov::device::capabilities);
      const auto has = [&can](const std::string& kind) {
        return std::find(can.begin(), can.end(), kind) != can.end();
      };
      ov::element::Type precision = ov::element::f32;  // else FP32 may be computed in BF16
      if (manifest.half && has("FP16")) {
        precision = ov::element::f16;
      } else if (manifest.half && has("BF16")) {
        precision = ov::element::bf16;
      }
      config_ = {ov::hint::inference_precision(precision),
                 ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY), ov::num_streams(1),
                 ov::cache_dir("")};
    } catch (const ov::Exception& error) {
      throw EngineError("device: OpenVINO does not find " + device_ + " here (" + reason(error) + ")");
    }
    if (device_ != "CPU") return;
    config_.insert(ov::hint::enable_cpu_pinning(false));  // pinned, two sessions would share one core
    // if 8-bit sums would not be exact, Q/DQ nodes are computed as written, in floating point
    if (manifest.needs_vnni && !are_products_exact(core_)) config_["LP_TRANSFORMS_MODE"] = false;
    if (options.threads > 0) config_.insert(ov::inference_num_threads(options.threads));
  }

  void open(const std::string& file, const Graph& graph, const std::vector<Tensor>& inputs, bool is_single,
            Part& part) {
    std::istringstream content(file);
    try {
      // by name, as OpenVINO accepts files of seven formats
      const auto frontend = frontends_.load_by_framework("onnx");
      std::istream* stream = &content;
      const auto model = frontend->convert(frontend->load(stream));
      check_tensors(graph.file, "inputs", inputs, model->inputs());
      check_tensors(graph.file, "outputs", graph.outputs, model->outputs());
      if (is_single) fix_batch(*model, graph);
      part.model = core_.compile_model(model, device_, config_);
    } catch (const ov::Exception& error) {
      throw EngineError(graph.file + ": openvino cannot load it: " + reason(error));
    }
  }

  /// A graph with static shapes is faster.
  static void fix_batch(ov::Model& model, const Graph& graph) {
    std::map<std::string, ov::PartialShape> shapes;
    for (const Tensor& tensor : graph.inputs) {
      ov::PartialShape shape = {1};
      for (const std::int64_t size : tensor.shape) shape.push_back(size);
      shapes[tensor.name] = shape;
    }
    model.reshape(shapes);
  }

  /// A request on the first rows of the tensors.
  static ov::InferRequest bind(Part& part, std::size_t count) {
    ov::InferRequest request = part.model.create_infer_request();
    for (const auto* side : {&part.inputs, &part.outputs})
      for (const auto& [tensor, data] : *side) {
        ov::Shape shape = {count};
        shape.insert(shape.end(), tensor.shape.begin(), tensor.shape.end());
        request.set_tensor(tensor.name, ov::Tensor(kTypes.at(tensor.dtype), shape, data));
      }
    if (part.threshold != nullptr)
      request.set_tensor("threshold", ov::Tensor(ov::element::f32, {1}, part.threshold));
    return request;
  }

  void run(Part& part) override {
    try {
      auto found = part.requests.find(count());
      if (found == part.requests.end()) found = part.requests.emplace(count(), bind(part, count())).first;
      found->second.infer();
    } catch (const ov::Exception& error) {
      throw EngineError(part.name + ": openvino failed over a batch of " + std::to_string(count()) + " (" +
                        reason(error) + ")");
    }
  }

  std::string device_;
  ov::Core core_;
  ov::frontend::FrontEndManager frontends_;
  ov::AnyMap config_;
};

}  // namespace

std::unique_ptr<Engine> open_openvino(const std::string& folder, const Manifest& manifest,
                                      const EngineOptions& options) {
  return std::make_unique<OpenVinoEngine>(folder, manifest, options);
}

}  // namespace edgeexit
