/// Holds the files of a bundle against its manifest; s2t_runtime/bundles/verification.py lists what each level catches.
#pragma once

#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "s2t/options.h"

namespace s2t {

/// What the names of files that hold a graph's weights end with: fp32/encoder.onnx.data.
inline constexpr const char* weights_suffix = ".data";

/// Whether the manifest names a file.
bool names(const Manifest& manifest, const std::string& path);

/// Check that the files are there, and that they are what the manifest says; `graphs` are the paths of all its graphs.
/// Files behind links that leave the bundle are hashed whatever `verify` is: nothing else vouches for them.
///
/// Throws BundleError: a path that leaves the bundle, or files that are missing or altered; the message names them.
void check_files(const std::string& root, const Manifest& manifest, const std::vector<std::string>& graphs,
                 LoadOptions::Verify verify);

}  // namespace s2t
