/// Sees to it that what is loaded of a bundle is of one bundle, though another may be put in its place meanwhile.
///
/// A bundle is replaced by renaming a directory, so that its files are those of one export at any one time; but they
/// are opened one after another. Whoever loads several of them looks at the manifest before the first and after the
/// last.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <thread>

#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

/// Which file manifest.json is, and what it holds: by either alone another one could pass for it.
struct ManifestStamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed_ns = 0;  ///< ctime: copies may keep their source's mtime
    std::string sha256;

    bool operator==(const ManifestStamp& other) const {
        return device == other.device && inode == other.inode && changed_ns == other.changed_ns &&
               sha256 == other.sha256;
    }
};

/// The manifest of a bundle, open: as long as it is, no other file can get its number.
class OpenManifest {
  public:
    explicit OpenManifest(const std::string& root);
    OpenManifest(const OpenManifest&) = delete;
    OpenManifest(OpenManifest&&) = delete;
    OpenManifest& operator=(const OpenManifest&) = delete;
    OpenManifest& operator=(OpenManifest&&) = delete;
    ~OpenManifest();

    /// Unset where there is no manifest that can be read.
    const std::optional<ManifestStamp>& stamp() const { return stamp_; }

  private:
    int file_ = -1;
    std::optional<ManifestStamp> stamp_;
};

/// Load what belongs together, again where the bundle was replaced meanwhile.
///
/// Throws BundleError (it was replaced during every one of a few attempts) and what `load` throws.
template <typename Load>
auto load_whole(const std::string& root, Load load) {
    constexpr int attempts = 4;
    constexpr auto pause = std::chrono::milliseconds(50);  // longer than the two renames of a replacement are apart
    for (int attempt = 0; attempt < attempts; ++attempt) {
        std::this_thread::sleep_for(pause * attempt);
        const OpenManifest before(root);
        try {
            auto loaded = load();
            if (OpenManifest(root).stamp() == before.stamp()) {
                return loaded;
            }
        } catch (const std::exception&) {  // a file is missing or altered: perhaps it is another bundle's
            if (OpenManifest(root).stamp() == before.stamp()) {
                throw;
            }
        }
    }
    throw BundleError(say("bundle.replaced", {{"root", root}, {"attempts", std::to_string(attempts)}}));
}

}  // namespace s2t
