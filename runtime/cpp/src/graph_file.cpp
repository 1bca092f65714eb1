// Reading a file of a bundle, checked before an engine loads it.
#include <openssl/evp.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "edgeexit/error.h"
#include "edgeexit/manifest.h"

namespace edgeexit {
namespace {

namespace fs = std::filesystem;

std::string sha256(const std::string& content) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(content.data(), content.size(), digest, &size, EVP_sha256(), nullptr) != 1)
    throw EngineError("SHA-256: this OpenSSL does not compute it");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    char byte[4];
    std::snprintf(byte, sizeof byte, "%02x", digest[i]);
    text += byte;
  }
  return text;
}

// The messages of onnx.proto that may hold a tensor, and their fields that do, by number.
enum Message { kModel, kTraining, kFunction, kGraph, kNode, kAttribute, kSparse, kTensor };
const std::map<Message, std::map<std::uint64_t, Message>> kFields = {
    {kModel, {{7, kGraph}, {20, kTraining}, {25, kFunction}}},
    {kTraining, {{1, kGraph}, {2, kGraph}}},
    {kFunction, {{7, kNode}, {11, kAttribute}}},
    {kGraph, {{1, kNode}, {5, kTensor}, {15, kSparse}}},
    {kNode, {{5, kAttribute}}},
    {kAttribute, {{5, kTensor}, {6, kGraph}, {10, kTensor}, {11, kGraph}, {22, kSparse}, {23, kSparse}}},
    {kSparse, {{1, kTensor}, {2, kTensor}}},
    {kTensor, {}},
};
constexpr std::uint64_t kExternalData = 13, kDataLocation = 14;  // of a tensor

struct Piece {
  Message message;
  std::size_t position, end;
};

/// Returns the number at a position, seven bits per byte, and moves the position past it.
std::uint64_t varint(const std::string& content, std::size_t& position, std::size_t end) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70 && position < end; shift += 7) {
    const auto byte = static_cast<unsigned char>(content[position++]);
    if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw BundleError("not an ONNX file");
}

/// Checks that all tensor data is inside: an engine would look for external data in the working
/// folder, and no manifest has its hash. Follows fields that lead to tensors, and skips the others.
void check_self_contained(const std::string& content) {
  std::vector<Piece> pieces = {{kModel, 0, content.size()}};
  while (!pieces.empty()) {
    auto [message, position, end] = pieces.back();
    pieces.pop_back();
    while (position < end) {
      const std::uint64_t tag = varint(content, position, end);
      const std::uint64_t field = tag >> 3, type = tag & 7;
      std::uint64_t value = 0, skipped = 0;
      if (type == 0) {
        value = varint(content, position, end);
      } else if (type == 2) {
        skipped = varint(content, position, end);
      } else if (type == 1 || type == 5) {
        skipped = type == 1 ? 8 : 4;
      } else {
        throw BundleError("not an ONNX file");
      }
      if (skipped > end - position || tag > 0xffffffffu) throw BundleError("not an ONNX file");
      const auto found = kFields.at(message).find(field);
      if (type == 2 && found != kFields.at(message).end())
        pieces.push_back({found->second, position, position + static_cast<std::size_t>(skipped)});
      position += static_cast<std::size_t>(skipped);
      if (message == kTensor && (field == kExternalData || (field == kDataLocation && value != 0)))
        throw BundleError("a tensor's data lies in another file, expected all inside");
    }
  }
}

}  // namespace

std::string read_graph(const std::string& folder, const Graph& graph) {
  const fs::path path = fs::path(folder) / graph.file;
  const std::string shown = path.string();
  std::error_code error;
  if (!fs::is_regular_file(path, error))
    throw BundleError(shown + ": missing from the bundle; export or copy it again");
  if (fs::canonical(path, error).parent_path() != fs::canonical(folder, error))
    throw BundleError(shown + ": a link out of the bundle's folder; copy the file itself");
  const auto size = fs::file_size(path, error);
  if (error || size != static_cast<std::uintmax_t>(graph.size_bytes))  // before memory is allocated
    throw BundleError(shown + ": expected " + std::to_string(graph.size_bytes) + " bytes, got " +
                      std::to_string(size) + "; export or copy it again");
  std::string content(static_cast<std::size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(content.data(), static_cast<std::streamsize>(size)))
    throw BundleError(shown + ": cannot be read");
  if (sha256(content) != graph.sha256)
    throw BundleError(shown + ": changed since it was exported (SHA-256 differs); copy it again");
  try {
    check_self_contained(content);
  } catch (const BundleError& wrong) {
    throw BundleError(shown + ": " + wrong.what() + "; export the bundle again");
  }
  return content;
}

}  // namespace edgeexit
