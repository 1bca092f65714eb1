// Classifies raw frames with a bundle and prints a line "label exit confidence" for each.
//
//   edgeexit_classify BUNDLE FRAMES [--engine openvino] [--threads N] [--batch N]
//                     [--threshold exit1=0.9]... [--time]
//
// FRAMES holds images of the network's input size as video converters write them, RGB (or GRAY8
// for networks of one channel) without padding. With --time, each line of stdin starts a pass over
// all frames, and its milliseconds per image are printed.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "edgeexit/error.h"
#include "edgeexit/session.h"

namespace {

struct Arguments {
  std::string bundle, frames, engine = "openvino";
  std::vector<std::pair<std::string, double>> thresholds;
  edgeexit::EngineOptions options;
  std::size_t batch = 1;
  bool time = false;
};

[[noreturn]] void usage() {
  std::cerr << "usage: edgeexit_classify BUNDLE FRAMES [--engine openvino|onnxruntime] [--threads N] "
               "[--batch N] [--threshold exit1=0.9]... [--time]\n";
  std::exit(2);
}

int whole(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 1 || value > 1'000'000) usage();
  return static_cast<int>(value);
}

Arguments parse(int count, char** values) {
  Arguments result;
  if (count < 3) usage();
  result.bundle = values[1];
  result.frames = values[2];
  for (int i = 3; i < count; ++i) {
    const std::string option = values[i];
    if (option == "--time") {
      result.time = true;
      continue;
    }
    if (++i == count) usage();
    const std::string value = values[i];
    const std::size_t equals = value.find('=');
    if (option == "--engine") {
      result.engine = value;
    } else if (option == "--threads") {
      result.options.threads = whole(value);
    } else if (option == "--batch") {
      result.batch = static_cast<std::size_t>(whole(value));
    } else if (option == "--threshold" && equals != std::string::npos) {
      result.thresholds.emplace_back(value.substr(0, equals), std::atof(value.c_str() + equals + 1));
    } else {
      usage();
    }
  }
  return result;
}

std::vector<std::uint8_t> read_frames(const std::string& path, std::size_t frame_bytes) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.good() && !file.eof()) throw edgeexit::InputError(path + ": cannot be read");
  if (bytes.empty() || bytes.size() % frame_bytes != 0)
    throw edgeexit::InputError(path + ": expected frames of " + std::to_string(frame_bytes) + " bytes, got " +
                               std::to_string(bytes.size()) + " bytes in all");
  return bytes;
}

void run(const Arguments& arguments) {
  edgeexit::Session session =
      edgeexit::Session::load(arguments.bundle, arguments.engine, arguments.options);
  for (const auto& [exit, threshold] : arguments.thresholds) session.set_threshold(exit, threshold);
  const std::size_t values = session.manifest().images().row_bytes() / sizeof(float);
  const std::vector<std::uint8_t> frames = read_frames(arguments.frames, values);
  const std::size_t count = frames.size() / values;
  const std::vector<float> images = session.preprocess(frames.data(), count);
  const auto classify = [&](bool shown) {
    for (std::size_t start = 0; start < count; start += arguments.batch) {
      const std::size_t size = std::min(arguments.batch, count - start);
      for (const edgeexit::Answer& answer : session.infer(&images[start * values], size))
        if (shown)
          std::printf("%d %s %.9g\n", answer.label, session.manifest().exits[answer.exit].name.c_str(),
                      static_cast<double>(answer.confidence));
    }
  };
  classify(!arguments.time);
  for (std::string line; arguments.time && std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    classify(false);
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
    std::cout << taken.count() / static_cast<double>(count) << std::endl;
  }
}

}  // namespace

int main(int count, char** values) {
  try {
    run(parse(count, values));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
