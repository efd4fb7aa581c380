#include "bundles/replacement.h"

#include <system_error>

#include "bundles/paths.h"
#include "bundles/verification.h"

#if __has_include(<unistd.h>)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "bundles/sha256.h"
#else
#include <filesystem>

#include "bundles/read_file.h"
#endif

namespace s2t {

#if __has_include(<unistd.h>)

namespace {

std::optional<std::string> sha256_of_open(int file) {
    Sha256 hash;
    std::array<unsigned char, 65536> piece{};
    ssize_t count = 0;
    while ((count = ::read(file, piece.data(), piece.size())) > 0) {
        hash.update(piece.data(), static_cast<std::size_t>(count));
    }
    return count < 0 ? std::nullopt : std::optional(hash.hex());
}

}  // namespace

OpenManifest::OpenManifest(const std::string& root)
    : file_(::open(below(root, manifest_name).c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (file_ < 0 || ::fstat(file_, &status) != 0) {
        return;
    }
    if (const std::optional<std::string> sha256 = sha256_of_open(file_)) {
#if defined(__APPLE__)
        const struct timespec changed = status.st_ctimespec;
#else
        const struct timespec changed = status.st_ctim;
#endif
        constexpr std::int64_t second = 1'000'000'000;
        stamp_ = ManifestStamp{static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino),
                               static_cast<std::int64_t>(changed.tv_sec) * second + changed.tv_nsec, *sha256};
    }
}

OpenManifest::~OpenManifest() {
    if (file_ >= 0) {
        ::close(file_);
    }
}

#else  // where an open file cannot be replaced

OpenManifest::OpenManifest(const std::string& root) {
    const std::string path = below(root, manifest_name);
    try {
        const auto modified = std::filesystem::last_write_time(path).time_since_epoch();
        const auto modified_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(modified).count();
        stamp_ = ManifestStamp{0, 0, modified_ns, sha256_of(path)};
    } catch (const std::system_error&) {
        stamp_.reset();
    }
}

OpenManifest::~OpenManifest() = default;

#endif

}  // namespace s2t
