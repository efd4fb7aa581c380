/// The beams of one utterance: those that run, and those that have finished.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "search/search.h"

namespace s2t {

inline constexpr float never = -1.0e9F;  ///< transformers' stand-in for -inf, which still orders what it is added to

/// One of the best continuations of a step.
struct Choice {
    std::size_t parent = 0;
    std::int64_t token = 0;
    float log_prob = 0.0F;
    float score = 0.0F;
    bool ends = false;
};

struct Finished {
    FoundHypothesis hypothesis;
    bool is_finished = false;  ///< false: a place that nothing has taken yet
};

/// The beams of one utterance.
struct Utterance {
    /// All beams begin alike, so only the first one counts.
    Utterance(const TokenIds& prompt, std::size_t beams);

    /// Whether nothing waits for a hypothesis any more.
    bool full() const;

    /// Keep the best of the finished and the others, as many as there were.
    void merge(std::vector<Finished> others);

    std::vector<FoundHypothesis> running;  ///< scores are sums, not yet divided by the length
    std::vector<Finished> finished;        ///< best first
    bool may_improve = true;
    bool active = true;
};

/// A hypothesis with one more token, and another score.
FoundHypothesis extended(const FoundHypothesis& parent, const Choice& choice, float score);

}  // namespace s2t
