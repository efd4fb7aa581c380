#include "sessions/linked_weights.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "bundles/read_file.h"

namespace s2t {

namespace {

namespace fs = std::filesystem;

bool is_link(const std::string& path) {
    std::error_code ignored;
    return fs::is_symlink(fs::symlink_status(path, ignored));
}

}  // namespace

namespace {

/// Tell the options the names of files and the bytes that each of them has; nothing is told of empty ones.
template <typename File>
void tell(Ort::SessionOptions& options, const std::vector<std::string>& paths, std::vector<File>& files) {
    std::vector<fs::path::string_type> names;
    std::vector<char*> bytes;
    std::vector<std::size_t> sizes;
    for (std::size_t index = 0; index < files.size(); ++index) {
        if (files[index].size() > 0) {
            names.push_back(fs::path(paths[index]).filename().native());
            bytes.push_back(files[index].data());
            sizes.push_back(files[index].size());
        }
    }
    if (!names.empty()) {
        options.AddExternalInitializersFromFilesInMemory(names, bytes, sizes);
    }
}

/// Open each file. Throws SessionError.
template <typename Open>
auto opened(const std::vector<std::string>& paths, Open open) {
    std::vector<decltype(open(paths.front()))> files;
    for (const std::string& path : paths) {
        try {
            files.push_back(open(path));
        } catch (const std::system_error& error) {
            const std::string name = fs::path(path).filename().string();
            throw SessionError(say("session.failed", {{"doing", "reading " + name}, {"error", error.what()}}));
        }
    }
    return files;
}

}  // namespace

std::vector<std::string> read_weights(Ort::SessionOptions& options, const std::vector<std::string>& weights) {
    std::vector<std::string> files = opened(weights, [](const std::string& path) { return read_file(path); });
    tell(options, weights, files);
    return files;
}

std::vector<MappedFile> linked_weights(Ort::SessionOptions& options, const std::string& graph,
                                       const std::vector<std::string>& weights) {
    if (!is_link(graph) && !std::any_of(weights.begin(), weights.end(), is_link)) {
        return {};
    }
    std::vector<MappedFile> files = opened(weights, [](const std::string& path) { return MappedFile(path); });
    tell(options, weights, files);
    return files;
}

}  // namespace s2t
