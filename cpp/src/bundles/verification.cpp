#include "bundles/verification.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>

#include "bundles/links.h"
#include "bundles/paths.h"
#include "bundles/read_file.h"
#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t fast_hash_limit = 64LL << 20U;  // bytes; Verify::fast hashes the files below it
constexpr std::size_t shown_problems = 5;

/// File of the manifest -> where a link takes it, for those that one takes out of the bundle.
using Elsewhere = std::map<std::string, std::string>;

std::optional<std::string> elsewhere(const std::string& root, const std::string& relative) {
    const std::string path = below(root, relative);
    try {
        const std::optional<fs::path> real = leads_elsewhere(root, path);
        return real ? std::optional(real->string()) : std::nullopt;
    } catch (const std::system_error& error) {
        throw BundleError(say("bundle.loop", {{"path", path}, {"error", error.code().message()}}));
    }
}

/// A file's name, and where it leads where that is out of the bundle.
std::string shown(const std::string& relative, const Elsewhere& links) {
    const auto found = links.find(relative);
    return found == links.end() ? relative : say("bundle.link", {{"path", relative}, {"real", found->second}});
}

std::vector<std::string> size_problems(const std::string& root, const Manifest& manifest, const Elsewhere& links) {
    std::vector<std::string> problems;
    for (const auto& [relative, wanted] : manifest.files) {
        const fs::path path = fs::path(root) / relative;
        const std::string name = shown(relative, links);
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        if (!fs::exists(status)) {
            problems.push_back(say("bundle.damaged.missing", {{"path", name}}));
        } else if (!fs::is_regular_file(status)) {
            problems.push_back(say("bundle.damaged.irregular", {{"path", name}}));
        } else if (const auto size = static_cast<std::int64_t>(fs::file_size(path, error)); size != wanted.size) {
            problems.push_back(
                say("bundle.damaged.size",
                    {{"path", name}, {"size", std::to_string(size)}, {"wanted", std::to_string(wanted.size)}}));
        }
    }
    return problems;
}

std::vector<std::string> hash_problems(const std::string& root, const Manifest& manifest, const Elsewhere& links,
                                       LoadOptions::Verify verify) {
    std::vector<std::string> problems;
    for (const auto& [relative, wanted] : manifest.files) {
        if (verify == LoadOptions::Verify::fast && wanted.size >= fast_hash_limit && links.count(relative) == 0) {
            continue;
        }
        const std::string name = shown(relative, links);
        std::string lower = wanted.sha256;
        std::transform(lower.begin(), lower.end(), lower.begin(), [](char letter) {
            return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
        });
        try {
            const std::string got = sha256_of(below(root, relative));
            if (got != lower) {
                problems.push_back(
                    say("bundle.damaged.hash", {{"path", name}, {"sha256", got}, {"wanted", wanted.sha256}}));
            }
        } catch (const std::system_error& error) {
            problems.push_back(say("bundle.damaged.unreadable", {{"path", name}, {"error", error.code().message()}}));
        }
    }
    return problems;
}

void check_damage(const std::string& root, std::vector<std::string> problems) {
    if (problems.size() > shown_problems) {
        const std::string more =
            say("bundle.damaged.more", {{"more", std::to_string(problems.size() - shown_problems)}});
        problems.resize(shown_problems);
        problems.push_back(more);
    }
    if (!problems.empty()) {
        throw BundleError(say("bundle.damaged", {{"root", root}, {"problems", joined(problems, "; ")}}));
    }
}

/// The weights in the folder of a graph that the manifest does not name, relative to the bundle, by name.
std::vector<std::string> unlisted_weights(const std::string& root, const Manifest& manifest, const std::string& graph) {
    const std::string folder = graph.substr(0, graph.rfind('/') + 1);
    std::vector<std::string> found;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(root) / folder, error)) {
        const std::string relative = folder + entry.path().filename().string();
        if (entry.path().extension() == weights_suffix && !names(manifest, relative)) {
            found.push_back(relative);
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

/// Refuse weights that no hash vouches for behind a link that leaves: a graph itself names the files of its weights.
void check_unlisted_weights(const std::string& root, const Manifest& manifest, const std::string& graph) {
    for (const std::string& relative : unlisted_weights(root, manifest, graph)) {
        const std::optional<std::string> real = elsewhere(root, relative);
        // A stray file hurts nobody.
        const std::string name = relative.substr(relative.rfind('/') + 1);
        if (real && read_file(below(root, graph)).find(name) != std::string::npos) {
            throw BundleError(say("bundle.link_unlisted", {{"path", below(root, relative)}, {"real", *real}}));
        }
    }
}

}  // namespace

bool names(const Manifest& manifest, const std::string& path) {
    return std::any_of(manifest.files.begin(), manifest.files.end(),
                       [&](const auto& file) { return file.first == path; });
}

void check_files(const std::string& root, const Manifest& manifest, const std::vector<std::string>& graphs,
                 LoadOptions::Verify verify) {
    for (const auto& file : manifest.files) {
        check_path(root, file.first);
    }
    for (const std::string& graph : graphs) {
        check_path(root, graph);
    }
    Elsewhere links;
    for (const auto& file : manifest.files) {
        if (const std::optional<std::string> real = elsewhere(root, file.first)) {
            links.emplace(file.first, *real);
        }
    }
    std::vector<std::string> unlisted;
    std::copy_if(graphs.begin(), graphs.end(), std::back_inserter(unlisted),
                 [&](const std::string& graph) { return !names(manifest, graph); });
    if (!unlisted.empty()) {
        throw BundleError(
            say("bundle.unlisted", {{"manifest", below(root, manifest_name)}, {"names", joined(unlisted, ", ")}}));
    }
    check_damage(root, size_problems(root, manifest, links));
    // A file of a wrong size needs no hashing, and hashing may take long.
    check_damage(root, hash_problems(root, manifest, links, verify));
    for (const std::string& graph : graphs) {
        check_unlisted_weights(root, manifest, graph);
    }
}

}  // namespace s2t
