/// What the search needs of a session: a step, and nothing else. It is tested on scripted ones, with no model.
#pragma once

#include <cstdint>

#include "s2t/span.h"

namespace s2t {

using Ids = Span<const std::int64_t>;
using Floats = Span<const float>;

/// Shape of what is fed to a step and of what comes back: one row per beam, utterance by utterance.
struct RowShape {
    std::size_t batch = 0;
    std::size_t beams = 0;
    std::size_t rows() const { return batch * beams; }
};

/// The best continuations of every row; views that hold until the next step.
struct Candidates {
    Floats log_probs;  ///< [rows, candidates], log-softmax of the raw logits, descending
    Ids ids;           ///< [rows, candidates], the token of each
    Floats logits;     ///< [rows, vocabulary], raw, only where they were asked for
};

/// One decoder step of one batch of utterances; it owns the cache.
class Step {
  public:
    Step() = default;
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    virtual ~Step() = default;

    /// Append tokens to the beams and score what may follow.
    ///
    /// `tokens` [rows, new]: the prompt (beams 1) in the first call, with a forced first token behind it, then the
    /// newest token of each beam.
    /// `beam_index` [rows]: flat rows `b * previous_beams + k` of the cache that each beam continues; the first two
    /// calls follow a single row per utterance, so they pass `b`.
    /// `candidates`: how many continuations per row to return, at least 1.
    virtual Candidates operator()(RowShape shape, Ids tokens, Ids beam_index, std::size_t candidates,
                                  bool with_logits) = 0;
};

}  // namespace s2t
