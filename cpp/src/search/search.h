/// The search: from a plan and a step to hypotheses, and nothing of models or sessions.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "options/plan.h"
#include "sessions/step.h"

namespace s2t {

/// One decoded sequence.
struct FoundHypothesis {
    std::vector<std::int64_t> tokens;  ///< prompt, new tokens and end token, without padding
    float score = 0.0F;                ///< log-probability of the new tokens / their number ** length_penalty
    std::vector<float> log_probs;      ///< of each new token
};

struct SearchResult {
    std::vector<std::vector<FoundHypothesis>> hypotheses;  ///< [batch][num_return_sequences], best first
    std::size_t steps = 0;                                 ///< decoder steps taken
    bool stopped = false;                                  ///< whether the caller ended the search early
};

/// What a caller may see and say while the search runs; each may be empty.
struct SearchCallbacks {
    std::function<bool()> stop;  ///< asked before each decoder step but the first
    /// Told after each step: utterance, tokens so far, whether these are final.
    std::function<void(std::size_t, const std::vector<std::int64_t>&, bool)> observe;
};

/// Decode a batch of utterances, which all end exactly as each would alone.
///
/// `step` stands at the beginning of its utterances. Where the rules would need more than `max_candidates`, the
/// logits of the whole vocabulary are fetched instead.
SearchResult search(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates,
                    const SearchCallbacks& callbacks);

SearchResult greedy_search(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates,
                           const SearchCallbacks& callbacks);

SearchResult beam_search(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates,
                         const SearchCallbacks& callbacks);

}  // namespace s2t
