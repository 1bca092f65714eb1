// What a user can put right: one printable line that says what was expected, what was got, what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace edgeexit {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(printable(message)) {}

 private:
  /// Parts of a message may come from files that nobody has looked at.
  static std::string printable(const std::string& text);
};

/// A bundle is incomplete, changed, foreign, or of a newer schema.
class BundleError : public Error {
  using Error::Error;
};

/// An argument does not fit the bundle.
class InputError : public Error {
  using Error::Error;
};

/// An engine is not there, cannot load a graph, or fails.
class EngineError : public Error {
  using Error::Error;
};

}  // namespace edgeexit
