/// The rules that may raise a token's score, and so need whole rows: copies of transformers' logits processors, with
/// the same float operations in the same order.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "options/plan.h"
#include "s2t/span.h"
#include "search/rules.h"

namespace s2t {

/// SequenceBiasLogitsProcessor: a number added where a sequence may be completed.
class SequenceBias {
  public:
    explicit SequenceBias(const SearchPlan& plan);

    /// Add the biases to the scores [columns] of what follows a history.
    void apply(History history, Span<float> scores) const;

  private:
    OutputVocabulary vocabulary_;
    std::vector<float> single_;  // [columns]; empty where there is no bias at all
    // By length in the order of first appearance, because the sums are rounded.
    std::vector<std::vector<std::pair<TokenIds, float>>> long_;
};

/// PrefixConstrainedLogitsProcessor: a function says which tokens may follow.
///
/// Where the rules before it left none of the allowed tokens of any beam of an utterance, the allowed ones score 0.
/// `scores` [beams, columns] and `histories` [beams] are those of one utterance that has not ended.
///
/// Throws OptionError: the function returned no token, or one that the decoder lacks or cannot write.
void constrain(const SearchPlan& plan, std::size_t utterance, Span<const History> histories, Span<float> scores);

/// ExponentialDecayLengthPenalty: end tokens gain more with every token past the start.
void decay(const SearchPlan& plan, std::int64_t length, Span<float> scores);

}  // namespace s2t
