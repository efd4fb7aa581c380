#include "search/whole_row_rules.h"

#include <algorithm>
#include <cmath>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "numbers.h"
#include "s2t/errors.h"
#include "search/probabilities.h"

namespace s2t {

namespace {

/// Where a token stands that the plan, or `allowed_tokens`, saw to be there.
std::size_t column_of(const OutputVocabulary& vocabulary, std::int64_t token) {
    return vocabulary.column(token).value();
}

}  // namespace

SequenceBias::SequenceBias(const SearchPlan& plan) : vocabulary_(plan.vocabulary) {
    if (plan.sequence_bias.empty()) {
        return;
    }
    single_.assign(vocabulary_.width(), 0.0F);
    for (const auto& [sequence, bias] : plan.sequence_bias) {
        if (sequence.size() == 1) {
            single_[column_of(vocabulary_, sequence.front())] = single(bias);
            continue;
        }
        const auto size = sequence.size();
        const auto group =
            std::find_if(long_.begin(), long_.end(), [&](const auto& one) { return one.front().first.size() == size; });
        if (group == long_.end()) {
            long_.push_back({{sequence, single(bias)}});
        } else {
            group->emplace_back(sequence, single(bias));
        }
    }
}

void SequenceBias::apply(History history, Span<float> scores) const {
    if (single_.empty()) {
        return;
    }
    std::vector<float> bias = single_;
    for (const auto& group : long_) {
        for (const auto& [sequence, added] : group) {
            const std::size_t prefix = sequence.size() - 1;
            if (prefix <= history.size() && std::equal(sequence.begin(), sequence.end() - 1, history.end() - prefix)) {
                bias[column_of(vocabulary_, sequence.back())] += added;
            }
        }
    }
    for (std::size_t column = 0; column < scores.size(); ++column) {
        scores[column] += bias[column];
    }
}

namespace {

TokenIds allowed_tokens(const SearchPlan& plan, std::size_t utterance, History history) {
    TokenIds allowed = plan.prefix_allowed_tokens_fn(utterance, history);
    if (allowed.empty()) {
        throw OptionError(
            say("option.prefix_empty", {{"utterance", std::to_string(utterance)}, {"tokens", python_ids(history)}}));
    }
    for (const std::int64_t token : allowed) {
        if (token < 0 || token >= plan.vocabulary.vocab_size()) {
            throw OptionError(say("option.prefix_range", {{"token", std::to_string(token)},
                                                          {"utterance", std::to_string(utterance)},
                                                          {"last", std::to_string(plan.vocabulary.vocab_size() - 1)}}));
        }
    }
    for (const std::int64_t token : allowed) {
        if (!plan.vocabulary.column(token)) {
            throw OptionError(say("option.prefix_unwritable", {{"token", std::to_string(token)},
                                                               {"utterance", std::to_string(utterance)},
                                                               {"written", std::to_string(plan.vocabulary.width())},
                                                               {"all", std::to_string(plan.vocabulary.vocab_size())},
                                                               {"ids", "Model::output_token_ids()"}}));
        }
    }
    return allowed;
}

}  // namespace

void constrain(const SearchPlan& plan, std::size_t utterance, Span<const History> histories, Span<float> scores) {
    const std::size_t width = scores.size() / histories.size();
    std::vector<float> mask(scores.size(), impossible);
    bool any_possible = false;
    for (std::size_t beam = 0; beam < histories.size(); ++beam) {
        for (const std::int64_t token : allowed_tokens(plan, utterance, histories[beam])) {
            const std::size_t place = beam * width + column_of(plan.vocabulary, token);
            mask[place] = 0.0F;
            any_possible = any_possible || !(scores[place] == impossible);
        }
    }
    for (std::size_t place = 0; place < scores.size(); ++place) {
        scores[place] = any_possible ? scores[place] + mask[place] : mask[place];
    }
}

void decay(const SearchPlan& plan, std::int64_t length, Span<float> scores) {
    if (!plan.decay || length <= plan.decay->start) {
        return;
    }
    const float factor = single(std::pow(plan.decay->factor, static_cast<double>(length - plan.decay->start)) - 1.0);
    TokenIds ends = plan.eos_token_ids;
    std::sort(ends.begin(), ends.end());  // doubled ids count once
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    for (const std::int64_t end : ends) {
        float& score = scores[column_of(plan.vocabulary, end)];
        if (std::isfinite(score)) {
            score += std::fabs(score) * factor;
        }
    }
}

}  // namespace s2t
