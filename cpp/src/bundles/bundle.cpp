#include "bundles/bundle.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <vector>

#include "bundles/paths.h"
#include "bundles/read_file.h"
#include "messages/python_text.h"
#include "messages/sentences.h"
#include "messages/utf8.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t fast_hash_limit = 64LL << 20U;  // bytes; Verify::fast hashes the files below it
constexpr std::size_t shown_problems = 5;

/// What a name on the hub looks like: owner and model, nothing before, between or behind.
bool is_model_id(const std::string& text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos || text.find('/', slash + 1) != std::string::npos) {
        return false;
    }
    const auto word = [](char character) {
        return std::isalnum(static_cast<unsigned char>(character)) != 0 || character == '_' || (character & 0x80) != 0;
    };
    const auto part = [&](const std::string& name) {
        return !name.empty() && word(name[0]) && std::all_of(name.begin(), name.end(), [&](char character) {
            return word(character) || character == '.' || character == '-';
        });
    };
    return part(text.substr(0, slash)) && part(text.substr(slash + 1));
}

void check_root(const std::string& root) {
    std::error_code error;
    const fs::file_status status = fs::status(root, error);
    if (!fs::exists(status)) {
        throw BundleError(say(is_model_id(root) ? "bundle.missing_model" : "bundle.missing", {{"root", root}}));
    }
    if (!fs::is_directory(status)) {
        throw BundleError(say("bundle.is_file", {{"root", root}}));
    }
    if (fs::is_regular_file(fs::path(root) / manifest_name, error)) {
        return;
    }
    // Inside an interrupted export and in a checkpoint there is all but a manifest.
    const std::string name = fs::path(root).filename().string();
    const char* sentence = "bundle.no_manifest";
    if (name.find(".unfinished-") != std::string::npos) {
        sentence = "bundle.unfinished";
    } else if (fs::is_regular_file(fs::path(root) / "config.json", error)) {
        sentence = "bundle.checkpoint";
    }
    throw BundleError(say(sentence, {{"root", root}}));
}

std::string manifest_text(const std::string& root) {
    check_root(root);
    check_inside(root, manifest_name);
    const std::string path = below(root, manifest_name);
    std::string text;
    try {
        text = read_file(path);
    } catch (const std::system_error& error) {
        throw BundleError(say("bundle.unreadable", {{"path", path}, {"error", error.code().message()}}));
    }
    if (!is_utf8(text)) {
        throw BundleError(say("bundle.unreadable", {{"path", path}, {"error", "it is not UTF-8"}}));
    }
    return text;
}

std::vector<std::string> graph_paths(const Manifest& manifest) {
    std::vector<std::string> paths;
    for (const auto& [name, graphs] : manifest.graphs) {
        for (const GraphInfo* graph : {&graphs.encoder, &graphs.decoder_first_step, &graphs.decoder_with_past}) {
            paths.push_back(graph->path);
        }
    }
    return paths;
}

bool names(const Manifest& manifest, const std::string& path) {
    return std::any_of(manifest.files.begin(), manifest.files.end(),
                       [&](const auto& file) { return file.first == path; });
}

std::vector<std::string> size_problems(const std::string& root, const Manifest& manifest) {
    std::vector<std::string> problems;
    for (const auto& [relative, wanted] : manifest.files) {
        const fs::path path = fs::path(root) / relative;
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        if (!fs::exists(status)) {
            problems.push_back(say("bundle.damaged.missing", {{"path", relative}}));
        } else if (!fs::is_regular_file(status)) {
            problems.push_back(say("bundle.damaged.irregular", {{"path", relative}}));
        } else if (const auto size = static_cast<std::int64_t>(fs::file_size(path, error)); size != wanted.size) {
            problems.push_back(
                say("bundle.damaged.size",
                    {{"path", relative}, {"size", std::to_string(size)}, {"wanted", std::to_string(wanted.size)}}));
        }
    }
    return problems;
}

std::vector<std::string> hash_problems(const std::string& root, const Manifest& manifest, LoadOptions::Verify verify) {
    std::vector<std::string> problems;
    for (const auto& [relative, wanted] : manifest.files) {
        if (verify == LoadOptions::Verify::fast && wanted.size >= fast_hash_limit) {
            continue;
        }
        std::string lower = wanted.sha256;
        std::transform(lower.begin(), lower.end(), lower.begin(), [](char letter) {
            return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
        });
        try {
            const std::string got = sha256_of(below(root, relative));
            if (got != lower) {
                problems.push_back(
                    say("bundle.damaged.hash", {{"path", relative}, {"sha256", got}, {"wanted", wanted.sha256}}));
            }
        } catch (const std::system_error& error) {
            problems.push_back(
                say("bundle.damaged.unreadable", {{"path", relative}, {"error", error.code().message()}}));
        }
    }
    return problems;
}

}  // namespace

Bundle Bundle::open(const std::string& path, LoadOptions::Verify verify) {
    Bundle bundle;
    bundle.root_ = python_path(path);
    bundle.manifest_ = parse_manifest(manifest_text(bundle.root_));
    const Manifest& manifest = bundle.manifest_;
    const std::vector<std::string> graphs = graph_paths(manifest);
    for (const auto& file : manifest.files) {
        check_inside(bundle.root_, file.first);
    }
    std::vector<std::string> unlisted;
    for (const std::string& graph : graphs) {
        check_inside(bundle.root_, graph);
        if (!names(manifest, graph)) {
            unlisted.push_back(graph);
        }
    }
    if (!unlisted.empty()) {
        throw BundleError(say("bundle.unlisted",
                              {{"manifest", below(bundle.root_, manifest_name)}, {"names", joined(unlisted, ", ")}}));
    }
    std::vector<std::string> problems = size_problems(bundle.root_, manifest);
    if (problems.empty()) {  // a file of a wrong size needs no hashing, and hashing may take long
        problems = hash_problems(bundle.root_, manifest, verify);
    }
    if (problems.size() > shown_problems) {
        const std::string more =
            say("bundle.damaged.more", {{"more", std::to_string(problems.size() - shown_problems)}});
        problems.resize(shown_problems);
        problems.push_back(more);
    }
    if (!problems.empty()) {
        throw BundleError(say("bundle.damaged", {{"root", bundle.root_}, {"problems", joined(problems, "; ")}}));
    }
    return bundle;
}

std::string Bundle::path_of(const std::string& relative) const {
    if (!names(manifest_, relative)) {
        std::vector<std::string> known;
        for (const auto& file : manifest_.files) {
            known.push_back(file.first);
        }
        throw BundleError(
            say("bundle.no_such_file",
                {{"root", root_}, {"path", relative}, {"names", known.empty() ? "no files" : joined(known, ", ")}}));
    }
    return below(root_, relative);
}

OutputVocabulary Bundle::output_vocabulary() const {
    const DecoderInfo& decoder = manifest_.decoder;
    if (!decoder.output_vocabulary) {
        return OutputVocabulary(decoder.vocab_size);
    }
    const OutputVocabularyInfo& listed = *decoder.output_vocabulary;
    return OutputVocabulary::read(path_of(listed.path), listed.count, decoder.vocab_size);
}

const PrecisionInfo& Bundle::precision(const std::string& name) const {
    std::vector<std::string> known;
    for (const auto& [key, graphs] : manifest_.graphs) {
        if (key == name) {
            return graphs;
        }
        known.push_back(key);
    }
    throw OptionError(say("bundle.precision", {{"precision", python_repr(std::string_view(name))},
                                               {"root", root_},
                                               {"names", known.empty() ? "none" : joined(known, ", ")}}));
}

}  // namespace s2t
