/// Where the files of a bundle lie once links are followed, and whether that place is the bundle's own.
///
/// Two places are its own: its directory, and the blobs of the hub cache that the directory lies in. A link may lead
/// anywhere else as well; what lies there is then held against its whole hash, whatever its size (verification.h).
#pragma once

#include <filesystem>
#include <optional>

namespace s2t {

/// Where a file lies that a link takes out of the bundle; nothing where it lies in a place of the bundle's own.
/// Throws std::system_error: it cannot be followed, in a loop of links for example.
std::optional<std::filesystem::path> leads_elsewhere(const std::filesystem::path& root,
                                                     const std::filesystem::path& path);

}  // namespace s2t
