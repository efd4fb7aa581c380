/// What this library throws.
///
///     Error
///     ├── BundleError    the bundle is missing, altered, newer than this library or malformed
///     ├── AudioError     the recording cannot be read, or is too short, too long or not finite
///     ├── OptionError    a decoding option is unknown, out of range or contradicts another
///     └── SessionError   ONNX Runtime refused to load or run a graph, a fork asked for it, or memory ran out
///
/// Every message says what was got, what was wanted and what to do; what another library said follows in its
/// own words. Anything else that is thrown is a bug, std::bad_alloc while loading, or an exception of a callback of the
/// caller.
#pragma once

#include <stdexcept>

namespace s2t {

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class BundleError : public Error {
  public:
    using Error::Error;
};

class AudioError : public Error {
  public:
    using Error::Error;
};

class OptionError : public Error {
  public:
    using Error::Error;
};

class SessionError : public Error {
  public:
    using Error::Error;
};

}  // namespace s2t
