#include "bundles/links.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <system_error>

namespace s2t {

namespace {

namespace fs = std::filesystem;

/// The path with every link followed, where that can be done, whether or not its end exists.
fs::path resolved(const fs::path& path) {
    fs::path rest = fs::absolute(path);
    fs::path done = rest.root_path();
    int links = 0;
    for (auto parts = rest.relative_path(); !parts.empty();) {
        const fs::path part = *parts.begin();
        fs::path behind;
        for (auto next = std::next(parts.begin()); next != parts.end(); ++next) {
            behind /= *next;
        }
        parts = behind;
        if (part == "..") {
            done = done.parent_path();
            continue;
        }
        if (part.empty() || part == ".") {
            continue;
        }
        std::error_code ignored;
        if (!fs::is_symlink(fs::symlink_status(done / part, ignored))) {
            done /= part;
            continue;
        }
        if (++links > 40) {  // as many as Linux follows
            throw std::system_error(std::make_error_code(std::errc::too_many_symbolic_link_levels));
        }
        const fs::path target = fs::read_symlink(done / part);
        if (target.is_absolute()) {
            done = target.root_path();
        }
        parts = target.relative_path() / behind;
    }
    return done;
}

bool is_inside(const fs::path& path, const fs::path& directory) {
    const auto [end, _] = std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
    return end == directory.end();
}

/// models--OWNER--NAME/blobs for a directory at or below models--OWNER--NAME/snapshots/REVISION; else nothing.
///
/// Should blobs be a link itself, what lies behind it is another place, so that nobody chooses the place by it.
std::optional<fs::path> hub_blobs(const fs::path& directory) {
    constexpr std::array<const char*, 3> beginnings{"models--", "datasets--", "spaces--"};
    for (fs::path revision = directory; revision.has_relative_path(); revision = revision.parent_path()) {
        const fs::path snapshots = revision.parent_path();
        const std::string folder = snapshots.parent_path().filename().string();
        const bool hub = std::any_of(beginnings.begin(), beginnings.end(),
                                     [&](const char* beginning) { return folder.rfind(beginning, 0) == 0; });
        if (hub && snapshots.filename() == "snapshots") {
            return snapshots.parent_path() / "blobs";
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<fs::path> leads_elsewhere(const fs::path& root, const fs::path& path) {
    const fs::path real = resolved(path);
    const fs::path directory = resolved(root);
    if (is_inside(real, directory)) {
        return std::nullopt;
    }
    const std::optional<fs::path> blobs = hub_blobs(directory);
    if (blobs && is_inside(real, *blobs)) {
        return std::nullopt;
    }
    return real;
}

}  // namespace s2t
