#include "bundles/bundle.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <vector>

#include "bundles/manifest_numbers.h"
#include "bundles/paths.h"
#include "bundles/read_file.h"
#include "bundles/verification.h"
#include "messages/python_text.h"
#include "messages/sentences.h"
#include "messages/utf8.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

namespace fs = std::filesystem;

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

}  // namespace

Bundle Bundle::open(const std::string& path, LoadOptions::Verify verify) {
    Bundle bundle;
    bundle.root_ = python_path(path);
    bundle.manifest_ = parse_manifest(manifest_text(bundle.root_));
    check_numbers(bundle.manifest_);
    check_files(bundle.root_, bundle.manifest_, graph_paths(bundle.manifest_), verify);
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

std::vector<std::string> Bundle::weights_beside(const std::string& graph) const {
    std::vector<std::string> found;
    for (const auto& file : manifest_.files) {
        const fs::path name(file.first);
        if (name.extension() == weights_suffix && name.parent_path() == fs::path(graph).parent_path()) {
            found.push_back(below(root_, file.first));
        }
    }
    return found;
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
