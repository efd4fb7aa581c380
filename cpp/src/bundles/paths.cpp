#include "bundles/paths.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

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

std::string bad_path_reason(const std::string& relative) {
    const bool drive =
        relative.size() > 1 && relative[1] == ':' && std::isalpha(static_cast<unsigned char>(relative[0])) != 0;
    if (relative.find('\\') != std::string::npos || drive) {
        return say("bundle.bad_path.backslash");
    }
    if (std::any_of(relative.begin(), relative.end(),
                    [](char byte) { return static_cast<unsigned char>(byte) < 32; })) {
        return say("bundle.bad_path.control");
    }
    if (!relative.empty() && relative.front() == '/') {
        return say("bundle.bad_path.absolute");
    }
    for (std::size_t start = 0; start <= relative.size();) {
        const std::size_t end = std::min(relative.find('/', start), relative.size());
        const std::string part = relative.substr(start, end - start);
        if (part.empty() || part == "." || part == "..") {
            return say("bundle.bad_path.part");
        }
        start = end + 1;
    }
    return "";
}

}  // namespace

std::string below(const std::string& root, const std::string& name) {
    if (root == ".") {
        return name;
    }
    return root == "/" ? root + name : root + "/" + name;
}

void check_inside(const std::string& root, const std::string& relative) {
    const std::string reason = bad_path_reason(relative);
    if (!reason.empty()) {
        throw BundleError(say("bundle.bad_path", {{"manifest", below(root, manifest_name)},
                                                  {"path", python_repr(std::string_view(relative))},
                                                  {"reason", reason}}));
    }
    fs::path real;
    fs::path directory;
    try {
        real = resolved(below(root, relative));
        directory = resolved(root);
    } catch (const std::system_error& error) {
        throw BundleError(say("bundle.loop", {{"path", below(root, relative)}, {"error", error.code().message()}}));
    }
    if (!is_inside(real, directory)) {
        throw BundleError(say("bundle.link_leaves", {{"path", below(root, relative)}, {"real", real.string()}}));
    }
}

}  // namespace s2t
