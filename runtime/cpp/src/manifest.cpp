#include "edgeexit/manifest.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "edgeexit/error.h"

namespace edgeexit {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uintmax_t kManifestBytes = 16u << 20;
constexpr std::int64_t kModelBytes = std::numeric_limits<std::int32_t>::max();  // protobuf's limit
constexpr std::int64_t kSchemaVersion = 1;
constexpr int kDepth = 32;
constexpr std::size_t kNameCharacters = 64, kFileCharacters = 128, kRank = 8;
const std::map<std::string, std::size_t> kDtypeBytes = {{"float32", 4}, {"float16", 2}, {"int32", 4},
                                                        {"int64", 8},   {"uint8", 1},   {"bool", 1}};

/// A value does not fit its field: "exits[1].threshold: expected a number, got "high"".
[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw BundleError(where + ": " + what);
}

[[noreturn]] void fail(const std::string& where, const std::string& expected, const Json& got) {
  std::string shown = got.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  fail(where, "expected " + expected + ", got " + shown);
}

/// A JSON object of the manifest. Unknown fields are rejected; errors have the field's path.
class Object {
 public:
  Object(const Json& value, std::string where, const std::set<std::string>& known)
      : value_(value), where_(std::move(where)) {
    if (!value.is_object()) fail(where_.empty() ? "top level" : where_, "an object", value);
    for (const auto& [key, unused] : value.items())
      if (known.count(key) == 0) fail(path(key), "no such field");
  }

  std::string path(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }
  bool has(const std::string& key) const { return value_.contains(key) && !value_[key].is_null(); }

  const Json& at(const std::string& key) const {
    if (!value_.contains(key)) fail(path(key), "missing");
    return value_[key];
  }

  std::string text(const std::string& key) const {
    if (!at(key).is_string()) fail(path(key), "a string", at(key));
    return at(key).get<std::string>();
  }

  std::int64_t integer(const std::string& key, std::int64_t least, std::int64_t most) const {
    return integer(at(key), path(key), least, most);
  }

  static std::int64_t integer(const Json& value, const std::string& where, std::int64_t least,
                              std::int64_t most) {
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                          : value.is_number_integer();
    if (!fits || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
      fail(where, "an integer of " + std::to_string(least) + " to " + std::to_string(most), value);
    return value.get<std::int64_t>();
  }

  static double number(const Json& value, const std::string& where) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) fail(where, "a finite number", value);
    return value.get<double>();
  }

  const Json& list(const std::string& key) const {
    if (!at(key).is_array()) fail(path(key), "a list", at(key));
    return at(key);
  }

  std::vector<double> numbers(const std::string& key) const {
    std::vector<double> result;
    for (const Json& value : list(key)) result.push_back(number(value, path(key)));
    return result;
  }

 private:
  const Json& value_;
  std::string where_;
};

std::string indexed(const std::string& where, std::size_t index) {
  return where + "[" + std::to_string(index) + "]";
}

/// Names in a bundle must not point out of its folder.
std::string plain(const Object& object, const std::string& key, std::size_t characters) {
  const std::string name = object.text(key);
  const auto is_plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  if (name.empty() || name.size() > characters || name[0] == '.' || name[0] == '-' ||
      !std::all_of(name.begin(), name.end(), is_plain))
    fail(object.path(key), "a plain name of up to " + std::to_string(characters) + " characters", name);
  return name;
}

Tensor read_tensor(const Json& value, const std::string& where) {
  const Object object(value, where, {"name", "dtype", "shape"});
  Tensor tensor{object.text("name"), object.text("dtype"), {}};
  if (kDtypeBytes.count(tensor.dtype) == 0)
    fail(object.path("dtype"), "float32, float16, int32, int64, uint8 or bool", tensor.dtype);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  std::int64_t room = most;
  for (const Json& size : object.list("shape")) {
    tensor.shape.push_back(Object::integer(size, object.path("shape"), 1, room));
    room /= tensor.shape.back();
  }
  if (tensor.shape.size() > kRank) fail(object.path("shape"), "at most 8 sizes", value["shape"]);
  return tensor;
}

std::vector<Tensor> read_tensors(const Object& graph, const std::string& key) {
  std::vector<Tensor> tensors;
  const Json& values = graph.list(key);
  for (std::size_t i = 0; i < values.size(); ++i)
    tensors.push_back(read_tensor(values[i], indexed(graph.path(key), i)));
  return tensors;
}

Graph read_graph_entry(const Object& part) {
  const Object object(part.at("graph"), part.path("graph"),
                      {"file", "sha256", "size_bytes", "inputs", "outputs"});
  return {plain(object, "file", kFileCharacters), object.text("sha256"),
          object.integer("size_bytes", 0, kModelBytes), read_tensors(object, "inputs"),
          read_tensors(object, "outputs")};
}

void read_parts(const Object& top, Manifest& manifest) {
  const Json& stages = top.list("stages");
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Object stage(stages[i], indexed("stages", i), {"name", "macs", "graph"});
    manifest.stages.push_back({plain(stage, "name", kNameCharacters), read_graph_entry(stage)});
  }
  const Json& exits = top.list("exits");
  for (std::size_t i = 0; i < exits.size(); ++i) {
    const Object exit(exits[i], indexed("exits", i),
                      {"name", "stage", "threshold", "backbone_macs", "branch_macs", "path_macs",
                       "graph", "temperature"});
    const std::string where = exit.path("threshold");
    const double threshold = Object::number(exit.at("threshold"), where);
    if (threshold < 0 || threshold > kNever) fail(where, "0 to 2", exit.at("threshold"));
    manifest.exits.push_back({plain(exit, "name", kNameCharacters), threshold, read_graph_entry(exit)});
    if (i >= stages.size() || exit.text("stage") != manifest.stages[i].name)
      fail("exits", "expected one behind each stage, in the order of the stages");
  }
  if (stages.empty() || exits.size() != stages.size())
    fail("exits", "expected one behind each stage, in the order of the stages");
}

void read_preprocessing(const Object& top, Manifest& manifest) {
  const Object object(top.at("preprocessing"), "preprocessing",
                      {"input_size", "mean", "std", "resize"});
  Preprocessing& result = manifest.preprocessing;
  const Json& size = object.list("input_size");
  if (size.size() != 3) fail("preprocessing.input_size", "3 values", size);
  constexpr std::int64_t most = 1 << 16;
  result.channels = Object::integer(size[0], "preprocessing.input_size", 1, most);
  result.height = Object::integer(size[1], "preprocessing.input_size", 1, most);
  result.width = Object::integer(size[2], "preprocessing.input_size", 1, most);
  if (result.channels * result.height * result.width > kModelBytes)
    fail("preprocessing.input_size", "expected at most 2147483647 values");
  result.mean = object.numbers("mean");
  result.std = object.numbers("std");
  const std::size_t channels = static_cast<std::size_t>(result.channels);
  if (result.mean.size() != channels || result.std.size() != channels ||
      *std::min_element(result.std.begin(), result.std.end()) <= 0)
    fail("preprocessing", "expected one mean, and std above 0, for each channel");
}

std::int64_t weight_bits(const Object& quantization) {
  if (!quantization.has("target")) return 8;
  const Object target(quantization.at("target"), "quantization.target",
                      {"name", "engine", "assumes", "elsewhere", "weight_bits"});
  return target.has("weight_bits") ? target.integer("weight_bits", 7, 8) : 8;
}

/// Reads precision and quantization; returns the tensors that are uint8 by quantization.features.
std::set<std::string> read_precision(const Object& top, Manifest& manifest) {
  manifest.precision = top.text("precision");
  const bool is_int8 = manifest.precision == "int8";
  if (!is_int8 && manifest.precision != "fp32" && manifest.precision != "fp16")
    fail("precision", "fp32, fp16 or int8", manifest.precision);
  manifest.half = manifest.precision == "fp16";
  if (!top.has("quantization")) return {};
  if (!is_int8) fail("quantization", "expected null in " + manifest.precision + ", it is for int8");
  const Object entry(top.at("quantization"), "quantization",
                     {"extent", "method", "fallback", "samples", "source", "held_out", "candidates",
                      "target", "features"});
  const std::string fallback = entry.text("fallback"), extent = entry.text("extent");
  if (fallback != "fp32" && fallback != "fp16") fail("quantization.fallback", "fp32 or fp16", fallback);
  if (extent != "all" && extent != "classifier") fail("quantization.extent", "all or classifier", extent);
  manifest.half = fallback == "fp16";
  manifest.half_scales = manifest.half && extent == "all";
  manifest.needs_vnni = extent == "all" && weight_bits(entry) == 8;
  std::set<std::string> features;
  if (!entry.has("features")) return features;
  const Json& listed = entry.at("features");
  if (!listed.is_object()) fail("quantization.features", "an object", listed);
  for (const auto& [name, value] : listed.items()) {
    const Object rounding(value, "quantization.features." + name, {"scale", "zero_point"});
    if (Object::number(rounding.at("scale"), rounding.path("scale")) <= 0)
      fail(rounding.path("scale"), "a scale above 0", rounding.at("scale"));
    rounding.integer("zero_point", 0, 255);
    features.insert(name);
  }
  return features;
}

/// Checks that every tensor a graph reads is written once, by an earlier stage, with that shape, that
/// every exit has the gate's outputs, and that exactly the uint8 features have a rounding.
void check_flow(const Manifest& manifest, const std::set<std::string>& rounded) {
  const auto classes = static_cast<std::int64_t>(manifest.class_names.size());
  const std::vector<Tensor> gate = {{"logits", "float32", {classes}},
                                    {"confidence", "float32", {}},
                                    {"label", "int32", {}},
                                    {"exits", "bool", {}}};
  std::map<std::string, Tensor> written = {{"images", manifest.images()}};
  std::set<std::string> names, uint8;
  const auto check_inputs = [&](const std::string& name, const Graph& graph) {
    if (!names.insert(name).second)
      fail("stages and exits", "expected different names, got " + name + " twice");
    for (const Tensor& tensor : graph.inputs) {
      const auto found = written.find(tensor.name);
      if (found == written.end() || !(found->second == tensor))
        fail(name, "its input " + tensor.name + " is written by no stage before it");
    }
  };
  for (std::size_t i = 0; i < manifest.stages.size(); ++i) {
    const Stage& stage = manifest.stages[i];
    check_inputs(stage.name, stage.graph);
    for (const Tensor& tensor : stage.graph.outputs) {
      if (tensor.name == "threshold" || !written.emplace(tensor.name, tensor).second)
        fail(stage.name, "its output " + tensor.name + " is the name of another tensor");
      if (tensor.dtype == "uint8") uint8.insert(tensor.name);
    }
    check_inputs(manifest.exits[i].name, manifest.exits[i].graph);
    if (manifest.exits[i].graph.outputs != gate)
      fail(manifest.exits[i].name, "expected the outputs logits, confidence, label and exits");
  }
  if (uint8 != rounded)
    fail("quantization.features", "expected all features of uint8 and no others");
}

Json parse(const std::string& path, std::istream& file) {
  const auto bounded = [&path](int depth, Json::parse_event_t event, Json&) {
    const bool opens = event == Json::parse_event_t::object_start ||
                       event == Json::parse_event_t::array_start;
    if (opens && depth >= kDepth) fail(path, "nested deeper than 32 levels");
    return true;
  };
  try {
    return Json::parse(file, bounded);
  } catch (const Json::exception& error) {
    throw BundleError(path + ": not valid JSON (" + error.what() + "); export the bundle again");
  }
}

}  // namespace

std::size_t Tensor::row_bytes() const {
  std::size_t bytes = kDtypeBytes.at(dtype);
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  return bytes;
}

Tensor Manifest::images() const {
  return {"images", "float32", {preprocessing.channels, preprocessing.height, preprocessing.width}};
}

std::vector<std::string> Manifest::read_later(std::size_t stage) const {
  std::set<std::string> written = {"images"}, later;
  for (std::size_t i = 0; i <= stage; ++i)
    for (const Tensor& tensor : stages[i].graph.outputs) written.insert(tensor.name);
  for (std::size_t i = stage + 1; i < stages.size(); ++i)
    for (const Graph* graph : {&stages[i].graph, &exits[i].graph})
      for (const Tensor& tensor : graph->inputs)
        if (written.count(tensor.name) != 0) later.insert(tensor.name);
  return {later.begin(), later.end()};
}

Manifest load_manifest(const std::string& folder) {
  const std::string path = (fs::path(folder) / "manifest.json").string();
  std::error_code error;
  if (!fs::is_regular_file(path, error))
    throw BundleError(path + ": no such file; expected the folder that 'edgeexit export' wrote");
  if (fs::file_size(path, error) > kManifestBytes || error)
    throw BundleError(path + ": larger than 16777216 bytes, not a manifest");
  std::ifstream file(path, std::ios::binary);
  const Json value = parse(path, file);
  if (!value.is_object() || !value.contains("schema_version") ||
      !value["schema_version"].is_number_integer() || value["schema_version"] < 1)
    throw BundleError(path + ": not the manifest of an edgeexit bundle (no schema_version)");
  if (value["schema_version"] > kSchemaVersion)
    throw BundleError(path + ": made by a newer edgeexit (this reads schema 1); take its runtime/cpp");
  try {
    const Object top(value, "",
                     {"schema_version", "model", "precision", "opset", "max_batch", "preprocessing",
                      "class_names", "stages", "exits", "baseline", "data", "verification",
                      "versions", "engines", "quantization", "guarantee", "expected",
                      "score"});
    Manifest manifest;
    const std::set<std::string> rounded = read_precision(top, manifest);
    manifest.max_batch = static_cast<std::size_t>(top.integer("max_batch", 1, kModelBytes));
    read_preprocessing(top, manifest);
    for (const Json& name : top.list("class_names")) {
      if (!name.is_string()) fail("class_names", "strings", name);
      manifest.class_names.push_back(name.get<std::string>());
    }
    const Object model(top.at("model"), "model", {"backbone", "branches", "num_classes"});
    if (model.integer("num_classes", 0, kModelBytes) !=
        static_cast<std::int64_t>(manifest.class_names.size()))
      fail("class_names", "expected as many as model.num_classes");
    read_parts(top, manifest);
    check_flow(manifest, rounded);
    return manifest;
  } catch (const BundleError& wrong) {
    throw BundleError(path + ": " + wrong.what() + "; export the bundle again");
  }
}

}  // namespace edgeexit
