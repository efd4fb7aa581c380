/// A step that feeds forced tokens together with those behind them.
///
/// Where the rules force what follows, nothing has to be computed to know it. So what was to be fed waits, and goes
/// into the decoder together with the forced token: one reading of the weights and one product with the vocabulary
/// less. Where nothing comes behind (a forced end), it is never fed at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sessions/step.h"

namespace s2t {

/// Calls a step, now or together with the next call. It refers to the step.
///
/// As long as all beams of an utterance have the same tokens, one row of the cache stands for them all. So the beams of
/// the call after that are looked up in the rows that there are.
class DeferredStep final : public Step {
  public:
    /// `joins`: what waits may be fed together with what is behind it. Not where the decoder would see the latter at
    /// another place then: a start token that is the padding token, with positions counted from that one.
    DeferredStep(Step& step, bool joins) : step_(step), joins_(joins) {}

    /// Append tokens to the beams, as a call would; no scores are wanted behind them.
    void defer(RowShape shape, Ids tokens, Ids beam_index);

    Candidates operator()(RowShape shape, Ids tokens, Ids beam_index, std::size_t candidates,
                          bool with_logits) override;

  private:
    bool alike(RowShape shape, Ids tokens) const;
    Candidates joined(RowShape shape, Ids tokens, std::size_t candidates, bool with_logits);
    void feed_waiting();
    std::vector<std::int64_t> rows_of(Ids beam_index) const;

    Step& step_;
    bool joins_;
    RowShape waiting_;  ///< batch 0: nothing waits
    std::vector<std::int64_t> waiting_tokens_, waiting_rows_;
    std::int64_t beams_a_row_ = 1;
    // What was fed, and what one row per utterance gave, for each of its beams: both hold until the next call.
    std::vector<std::int64_t> fed_, rows_, ids_;
    std::vector<float> log_probs_, logits_;
};

}  // namespace s2t
