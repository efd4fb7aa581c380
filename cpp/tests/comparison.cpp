#include "comparison.h"

#include <array>
#include <utility>

#include "messages/sentences.h"
#include "options/values.h"

namespace s2t::tests {

/// What is different between the hypotheses of one utterance and those wanted; empty where nothing is.
std::string difference(const Result& got, const Json& wanted) {
    if (got.hypotheses.size() != wanted.size()) {
        return std::to_string(got.hypotheses.size()) + " hypotheses, wanted " + std::to_string(wanted.size());
    }
    for (std::size_t rank = 0; rank < wanted.size(); ++rank) {
        const Hypothesis& one = got.hypotheses[rank];
        const std::string place = "#" + std::to_string(rank) + ": ";
        if (one.tokens != wanted[rank]["tokens"].get<std::vector<std::int64_t>>()) {
            return place + python_ids(one.tokens) + ", wanted " + wanted[rank]["tokens"].dump();
        }
        if (!close(one.score, wanted[rank]["score"].get<double>())) {
            return place + "score " + std::to_string(one.score) + ", wanted " + wanted[rank]["score"].dump();
        }
        if (wanted[rank].contains("text") && one.text != wanted[rank]["text"].get<std::string>()) {
            return place + one.text + ", wanted " + wanted[rank]["text"].dump();
        }
        const std::vector<double> log_probs = wanted[rank].value("log_probs", std::vector<double>{});
        for (std::size_t token = 0; token < log_probs.size(); ++token) {
            if (one.log_probs.size() != log_probs.size() || !close(one.log_probs[token], log_probs[token])) {
                return place + "log_probs differ, wanted " + wanted[rank]["log_probs"].dump();
            }
        }
    }
    return "";
}

GenerateOptions options_of(const Json& item) {
    GenerateOptions options = options_from_values(item["options"]);
    if (item.contains("allowed")) {
        const auto allowed = item["allowed"].get<TokenIds>();
        options.prefix_allowed_tokens_fn = [=](std::size_t, Span<const std::int64_t>) { return allowed; };
    }
    return options;
}

std::string as_of_this_library(std::string message) {
    const std::array<std::pair<std::string, std::string>, 2> names{
        {{"this s2t_runtime reads", "this " + std::string(reader_name) + " reads"},
         {"SpeechToText.output_token_ids", "Model::output_token_ids()"}}};
    for (const auto& [python, ours] : names) {
        if (const std::size_t found = message.find(python); found != std::string::npos) {
            message.replace(found, python.size(), ours);
        }
    }
    return message;
}

std::size_t check_answers(const Model& model, const Json& cases) {
    std::size_t refused = 0;
    for (const Json& item : cases) {
        CAPTURE(item["options"].dump());
        const std::vector<Recording> recordings = golden_recordings(item["audio"]);
        if (item.contains("error")) {
            ++refused;
            const auto decode = [&] { model.generate_batch(samples_of(recordings), options_of(item)); };
            CHECK(message_of<OptionError>(decode) == as_of_this_library(item["error"].get<std::string>()));
            continue;
        }
        const std::vector<Result> results = model.generate_batch(samples_of(recordings), options_of(item));
        REQUIRE(results.size() == item["results"].size());
        for (std::size_t row = 0; row < results.size(); ++row) {
            const Json& wanted = item["results"][row];
            CHECK(difference(results[row], wanted["hypotheses"]) == "");
            CHECK((results[row].language ? Json(*results[row].language) : Json()) == wanted["language"]);
            CHECK(results[row].audio_s == wanted["audio_s"].get<double>());
        }
    }
    return refused;
}

}  // namespace s2t::tests
