#include "edgeexit/error.h"

#include <cstdio>

namespace edgeexit {

std::string Error::printable(const std::string& text) {
  constexpr std::size_t kCharacters = 400;
  std::string result;
  for (const unsigned char character : text) {
    if (character >= 0x20 && character < 0x7f) {
      result += static_cast<char>(character);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", character);
      result += escaped;
    }
  }
  if (result.size() <= kCharacters) return result;
  // keep the beginning, which has the place, and the end, which says what to do
  return result.substr(0, kCharacters / 2 - 3) + "..." + result.substr(result.size() - kCharacters / 2);
}

}  // namespace edgeexit
