/// Paths of a manifest: below the bundle, or refused.
#pragma once

#include <string>

namespace s2t {

inline constexpr const char* manifest_name = "manifest.json";

/// The path of a bundle's file, written as Python's pathlib writes it.
std::string below(const std::string& root, const std::string& name);

/// Throws BundleError: not plainly a path below the bundle.
void check_path(const std::string& root, const std::string& relative);

}  // namespace s2t
