#include "sessions/linked_weights.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace s2t {

namespace {

namespace fs = std::filesystem;

bool is_link(const std::string& path) {
    std::error_code ignored;
    return fs::is_symlink(fs::symlink_status(path, ignored));
}

}  // namespace

std::vector<MappedFile> linked_weights(Ort::SessionOptions& options, const std::string& graph,
                                       const std::vector<std::string>& weights) {
    std::vector<MappedFile> files;
    if (!is_link(graph) && !std::any_of(weights.begin(), weights.end(), is_link)) {
        return files;
    }
    std::vector<fs::path::string_type> names;
    std::vector<char*> bytes;
    std::vector<std::size_t> sizes;
    for (const std::string& path : weights) {
        const fs::path name = fs::path(path).filename();
        try {
            files.emplace_back(path);
        } catch (const std::system_error& error) {
            throw SessionError(say("session.failed", {{"doing", "reading " + name.string()}, {"error", error.what()}}));
        }
        if (files.back().size() > 0) {
            names.push_back(name.native());
            bytes.push_back(files.back().data());
            sizes.push_back(files.back().size());
        }
    }
    options.AddExternalInitializersFromFilesInMemory(names, bytes, sizes);
    return files;
}

}  // namespace s2t
