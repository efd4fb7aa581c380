#include "bundles/manifest_numbers.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

std::string wrong(const std::string& path, std::int64_t value, const std::string& wanted) {
    return say("manifest.field.wrong", {{"path", path}, {"value", std::to_string(value)}, {"wanted", wanted}});
}

std::vector<std::pair<std::string, std::int64_t>> counts_of(const Manifest& manifest) {
    const AudioInfo& audio = manifest.audio;
    const DecoderInfo& decoder = manifest.decoder;
    return {{"audio.sampling_rate", audio.sampling_rate},
            {"audio.min_samples", audio.min_samples},
            {"audio.max_samples", audio.max_samples},
            {"decoder.layers", decoder.layers},
            {"decoder.heads", decoder.heads},
            {"decoder.head_dim", decoder.head_dim},
            {"decoder.vocab_size", decoder.vocab_size},
            {"decoder.max_positions", decoder.max_positions.value_or(1)},
            {"decoder.max_candidates", decoder.max_candidates}};
}

}  // namespace

void check_numbers(const Manifest& manifest) {
    std::vector<std::string> problems;
    for (const auto& [path, count] : counts_of(manifest)) {
        if (count < 1) {
            problems.push_back(wrong(path, count, "an integer of at least 1"));
        }
    }
    auto graphs = manifest.graphs;
    std::sort(graphs.begin(), graphs.end(), [](const auto& one, const auto& other) { return one.first < other.first; });
    const std::int64_t tokens = manifest.decoder.vocab_size;
    for (const auto& [precision, info] : graphs) {
        for (const TensorInfo& output : info.decoder_with_past.outputs) {
            // With an output vocabulary its file says what the columns are.
            const bool told = output.name == "logits" && output.last_axis && !manifest.decoder.output_vocabulary;
            if (told && *output.last_axis != tokens) {
                problems.push_back(
                    wrong("decoder.vocab_size", tokens,
                          std::to_string(*output.last_axis) + ", the columns of the logits of " + precision));
            }
        }
    }
    if (!problems.empty()) {
        throw BundleError(say("manifest.malformed", {{"problems", joined(problems, "; ")}}));
    }
}

}  // namespace s2t
