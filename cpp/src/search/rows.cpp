#include "search/rows.h"

#include <algorithm>
#include <limits>
#include <string>

#include "messages/sentences.h"
#include "s2t/errors.h"
#include "search/probabilities.h"

namespace s2t {

namespace {

/// Refuse scores whose log-probabilities would not be numbers.
void check_normalisable(Span<const float> scores, std::size_t utterance, const std::vector<char>& active) {
    const float* const best = std::max_element(scores.begin(), scores.end());
    if (active[utterance] != 0 && best != scores.end() && *best == std::numeric_limits<float>::infinity()) {
        throw OptionError(say("option.infinite", {{"utterance", std::to_string(utterance)}}));
    }
}

}  // namespace

RowSource::RowSource(Step& step, const SearchPlan& plan, std::size_t keep, std::size_t max_candidates)
    : step_(step, plan.joins_prompt),
      plan_(plan),
      rules_(plan),
      bias_(plan),
      width_(plan.vocabulary.width()),
      keep_(std::min(keep, width_)),
      max_candidates_(max_candidates) {}

Rows RowSource::rows(RowShape shape, Ids tokens, Ids beam_index, const std::vector<History>& histories,
                     const std::vector<char>& active) {
    const StepRules rules = rules_.at(histories);
    if (!rules.forced.empty()) {
        step_.defer(shape, tokens, beam_index);
        return forced(shape, rules);
    }
    const std::size_t wanted = rules_.whole_rows() ? 1 : std::min(keep_ + rules.lowered(histories), width_);
    if (rules_.whole_rows() || wanted > max_candidates_) {
        return whole(shape, step_(shape, tokens, beam_index, 1, true).logits, rules, histories, active);
    }
    const Candidates found = step_(shape, tokens, beam_index, wanted, false);
    Rows result{wanted, {found.ids.begin(), found.ids.end()}, {found.log_probs.begin(), found.log_probs.end()}, {}};
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        rules.apply(row, histories[row], found.ids.subspan(row * wanted, wanted),
                    Span<float>(result.scores).subspan(row * wanted, wanted));
    }
    if (plan_.num_beams == 1) {
        result.log_probs.assign(found.log_probs.begin(), found.log_probs.end());
    } else {
        result.log_probs = result.scores;
    }
    return result;
}

/// The rows that forced tokens leave: 0, and -inf for as many others as are kept.
Rows RowSource::forced(RowShape shape, const StepRules& rules) const {
    TokenIds ids = rules.forced;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    const std::size_t distinct = ids.size();
    const std::size_t lowest = std::min(keep_ + distinct, width_);
    for (std::size_t column = 0; column < lowest; ++column) {
        const std::int64_t token = plan_.vocabulary.id(column);
        if (!std::binary_search(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(distinct), token)) {
            ids.push_back(token);
        }
    }
    std::vector<float> scores(ids.size(), impossible);
    for (std::size_t place = 0; place < distinct; ++place) {
        scores[place] = rules.common->has(ids[place]) ? impossible : 0.0F;
    }
    std::vector<float> renormalized = scores;
    if (plan_.renormalize_logits) {
        renormalize(renormalized);
    }
    const std::vector<float>& reported = plan_.num_beams == 1 ? scores : renormalized;
    Rows result{ids.size(), {}, {}, {}};
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        result.ids.insert(result.ids.end(), ids.begin(), ids.end());
        result.scores.insert(result.scores.end(), renormalized.begin(), renormalized.end());
        result.log_probs.insert(result.log_probs.end(), reported.begin(), reported.end());
    }
    return result;
}

Rows RowSource::whole(RowShape shape, Floats logits, const StepRules& rules, const std::vector<History>& histories,
                      const std::vector<char>& active) const {
    const bool single = plan_.num_beams == 1;
    std::vector<float> log_probs(logits.size());
    const auto row_of = [&](std::vector<float>& values, std::size_t row) {
        return Span<float>(values).subspan(row * width_, width_);
    };
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        log_softmax(logits.subspan(row * width_, width_), row_of(log_probs, row));
    }
    // Greedy decoding's rules act on raw logits, those of beam search on log-probabilities.
    std::vector<float> scores = single ? std::vector<float>(logits.begin(), logits.end()) : log_probs;
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        bias_.apply(histories[row], row_of(scores, row));
        rules.apply(row, histories[row], {}, row_of(scores, row));
    }
    for (std::size_t utterance = 0; plan_.prefix_allowed_tokens_fn && utterance < shape.batch; ++utterance) {
        if (active[utterance] != 0) {
            const std::size_t first = utterance * shape.beams;
            constrain(plan_, utterance, Span<const History>(histories).subspan(first, shape.beams),
                      Span<float>(scores).subspan(first * width_, shape.beams * width_));
        }
    }
    Rows result{keep_, {}, {}, {}};
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        const Span<float> own = row_of(scores, row);
        // Tokens at -inf stay there, so it may come behind the bans.
        decay(plan_, static_cast<std::int64_t>(histories[row].size()), own);
        for (std::size_t column = 0; rules.late != nullptr && rules.late->count > 0 && column < width_; ++column) {
            own[column] = rules.late->has(plan_.vocabulary.id(column)) ? impossible : own[column];
        }
        if (plan_.renormalize_logits) {
            check_normalisable(own, row / shape.beams, active);
            renormalize(own);
        }
        for (const std::int64_t place : best_places(own, keep_)) {
            const float score = own[static_cast<std::size_t>(place)];
            result.ids.push_back(plan_.vocabulary.id(static_cast<std::size_t>(place)));
            result.scores.push_back(score);
            result.log_probs.push_back(single ? row_of(log_probs, row)[static_cast<std::size_t>(place)] : score);
        }
    }
    return result;
}

}  // namespace s2t
