// ONNX Runtime on the CPU: graphs bound once per batch size to host memory.
#include <onnxruntime_cxx_api.h>

#include <algorithm>

#include "edgeexit/engine.h"
#include "edgeexit/error.h"
#include "host_engine.h"

namespace edgeexit {
namespace {

const std::map<std::string, ONNXTensorElementDataType> kTypes = {
    {"float32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT}, {"float16", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {"int32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},   {"int64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {"uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},   {"bool", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL}};

std::string reason(const Ort::Exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

/// Without VNNI an x86 CPU adds pairs of 8-bit products in 16 bits, which saturate; others are exact.
bool may_saturate() {
#if defined(__x86_64__) && defined(__GNUC__)
  return !__builtin_cpu_supports("avx512vnni");
#elif defined(__x86_64__) || defined(_M_X64)
  return true;
#else
  return false;
#endif
}

Ort::SessionOptions session_options(const Manifest& manifest, const EngineOptions& options) {
  Ort::SessionOptions result;
  result.SetIntraOpNumThreads(options.threads);
  result.SetInterOpNumThreads(1);
  // else a graph's threads keep spinning on the cores that the next graph needs
  result.AddConfigEntry("session.force_spinning_stop", "1");
  // else bytes that look like ONNX Runtime's own format are loaded as that, unchecked
  result.AddConfigEntry("session.load_model_format", "ONNX");
  if (manifest.needs_vnni && may_saturate()) result.AddConfigEntry("session.x64quantprecision", "1");
  // with FP16 scales it rounds biases to steps that nearly vanish
  if (manifest.half_scales)
    result.AddConfigEntry("optimization.disable_specified_optimizers", "WeightBiasQuantization");
  return result;
}

struct Part : PlacedPart {
  Ort::Env environment{ORT_LOGGING_LEVEL_ERROR, "edgeexit"};  // one per process, reference-counted; must outlive sessions
  Ort::Session session{nullptr};
  std::map<std::size_t, Ort::IoBinding> bindings;  // by batch size
};

/// Checks a graph's tensors: buffers of the manifest's sizes and types are bound to them.
void check_tensor(const std::string& file, const std::vector<Tensor>& expected, const std::string& name,
                  const Ort::TypeInfo& type) {
  const auto found = std::find_if(expected.begin(), expected.end(),
                                  [&name](const Tensor& tensor) { return tensor.name == name; });
  bool fits = found != expected.end() && type.GetONNXType() == ONNX_TYPE_TENSOR;
  if (fits) {
    const auto info = type.GetTensorTypeAndShapeInfo();
    const std::vector<std::int64_t> shape = info.GetShape();
    fits = info.GetElementType() == kTypes.at(found->dtype) && shape.size() == found->shape.size() + 1;
    for (std::size_t i = 0; fits && i < found->shape.size(); ++i)
      fits = shape[i + 1] < 0 || shape[i + 1] == found->shape[i];
  }
  if (!fits)
    throw BundleError(file + ": its tensor " + name +
                      " is not of the type and shape in the manifest; export the bundle again");
}

void check_tensors(const std::string& file, const std::vector<Tensor>& inputs,
                   const std::vector<Tensor>& outputs, const Ort::Session& session) {
  if (session.GetInputCount() != inputs.size() || session.GetOutputCount() != outputs.size())
    throw BundleError(file + ": expected " + std::to_string(inputs.size()) + " inputs and " +
                      std::to_string(outputs.size()) + " outputs by the manifest; export the bundle again");
  Ort::AllocatorWithDefaultOptions allocator;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    check_tensor(file, inputs, session.GetInputNameAllocated(i, allocator).get(),
                 session.GetInputTypeInfo(i));
  for (std::size_t i = 0; i < outputs.size(); ++i)
    check_tensor(file, outputs, session.GetOutputNameAllocated(i, allocator).get(),
                 session.GetOutputTypeInfo(i));
}

class OnnxRuntimeEngine : public HostEngine<Part> {
 public:
  OnnxRuntimeEngine(const std::string& folder, const Manifest& manifest, const EngineOptions& options)
      : HostEngine(manifest),
        host_(Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault)),
        options_(session_options(manifest, options)) {
    open_parts(manifest, [&](const Graph& graph, const std::vector<Tensor>& inputs, Part& part) {
      open(read_graph(folder, graph), graph, inputs, part);
    });
  }

 private:
  void open(const std::string& content, const Graph& graph, const std::vector<Tensor>& inputs, Part& part) {
    try {
      part.session = Ort::Session(part.environment, content.data(), content.size(), options_);
      check_tensors(graph.file, inputs, graph.outputs, part.session);
    } catch (const Ort::Exception& error) {
      throw EngineError(graph.file + ": onnxruntime cannot load it: " + reason(error));
    }
  }

  Ort::Value place(const Tensor& tensor, void* data, std::size_t count) const {
    std::vector<std::int64_t> shape = {static_cast<std::int64_t>(count)};
    shape.insert(shape.end(), tensor.shape.begin(), tensor.shape.end());
    return Ort::Value::CreateTensor(host_, data, count * tensor.row_bytes(), shape.data(), shape.size(),
                                    kTypes.at(tensor.dtype));
  }

  Ort::IoBinding bind(Part& part, std::size_t count) const {
    Ort::IoBinding binding(part.session);
    for (const auto& [tensor, data] : part.inputs)
      binding.BindInput(tensor.name.c_str(), place(tensor, data, count));
    for (const auto& [tensor, data] : part.outputs)
      binding.BindOutput(tensor.name.c_str(), place(tensor, data, count));
    if (part.threshold != nullptr)
      binding.BindInput("threshold", place({"threshold", "float32", {}}, part.threshold, 1));
    return binding;
  }

  void run(Part& part) override {
    try {
      auto found = part.bindings.find(count());
      if (found == part.bindings.end()) found = part.bindings.emplace(count(), bind(part, count())).first;
      part.session.Run(Ort::RunOptions{nullptr}, found->second);
    } catch (const Ort::Exception& error) {
      throw EngineError(part.name + ": onnxruntime failed over a batch of " + std::to_string(count()) + " (" +
                        reason(error) + ")");
    }
  }

  Ort::MemoryInfo host_;
  Ort::SessionOptions options_;
};

}  // namespace

std::unique_ptr<Engine> open_onnxruntime(const std::string& folder, const Manifest& manifest,
                                         const EngineOptions& options) {
  return std::make_unique<OnnxRuntimeEngine>(folder, manifest, options);
}

}  // namespace edgeexit
