// Errors that a user can correct: one printable line: expected, got, what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace edgeexit {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(printable(message)) {}

 private:
  /// Parts of a message may come from untrusted files.
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

/// An engine is missing, cannot load a graph, or fails.
class EngineError : public Error {
  using Error::Error;
};

}  // namespace edgeexit
