/// Files as bytes.
#pragma once

#include <string>

namespace s2t {

/// The bytes of a file. Throws std::system_error.
std::string read_file(const std::string& path);

/// The SHA-256 of a file in lower-case hex, read in pieces. Throws std::system_error.
std::string sha256_of(const std::string& path);

}  // namespace s2t
