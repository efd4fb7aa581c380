// Its twin is s2t_runtime/search/deferred_step.py.

#include "search/deferred_step.h"

#include <algorithm>
#include <utility>

namespace s2t {

namespace {

/// One row per utterance, for each of its beams.
template <typename Value>
std::vector<Value> spread(Span<const Value> rows, RowShape shape) {
    const std::size_t width = rows.size() / shape.batch;
    std::vector<Value> all;
    all.reserve(rows.size() * shape.beams);
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        const Span<const Value> own = rows.subspan(row / shape.beams * width, width);
        all.insert(all.end(), own.begin(), own.end());
    }
    return all;
}

}  // namespace

void DeferredStep::defer(RowShape shape, Ids tokens, Ids beam_index) {
    feed_waiting();
    waiting_ = shape;
    waiting_tokens_.assign(tokens.begin(), tokens.end());
    waiting_rows_ = rows_of(beam_index);
}

Candidates DeferredStep::operator()(RowShape shape, Ids tokens, Ids beam_index, std::size_t candidates,
                                    bool with_logits) {
    if (alike(shape, tokens)) {
        return joined(shape, tokens, candidates, with_logits);
    }
    feed_waiting();
    rows_ = rows_of(beam_index);
    beams_a_row_ = 1;
    return step_(shape, tokens, rows_, candidates, with_logits);
}

/// Whether something waits, and all beams of an utterance go on in the same way from the same row.
bool DeferredStep::alike(RowShape shape, Ids tokens) const {
    if (!joins_ || waiting_.batch == 0 || waiting_.beams != 1) {
        return false;
    }
    for (std::size_t row = 0; row < shape.rows(); ++row) {
        if (tokens[row] != tokens[row / shape.beams * shape.beams]) {
            return false;
        }
    }
    return true;
}

Candidates DeferredStep::joined(RowShape shape, Ids tokens, std::size_t candidates, bool with_logits) {
    const std::size_t before = waiting_tokens_.size() / waiting_.batch;
    fed_.clear();
    for (std::size_t utterance = 0; utterance < shape.batch; ++utterance) {
        const auto own = waiting_tokens_.begin() + static_cast<std::ptrdiff_t>(utterance * before);
        fed_.insert(fed_.end(), own, own + static_cast<std::ptrdiff_t>(before));
        fed_.push_back(tokens[utterance * shape.beams]);
    }
    rows_ = std::move(waiting_rows_);
    waiting_ = {};
    beams_a_row_ = static_cast<std::int64_t>(shape.beams);
    const Candidates found = step_({shape.batch, 1}, fed_, rows_, candidates, with_logits);
    log_probs_ = spread(found.log_probs, shape);
    ids_ = spread(found.ids, shape);
    logits_ = with_logits ? spread(found.logits, shape) : std::vector<float>{};
    return {log_probs_, ids_, logits_};
}

void DeferredStep::feed_waiting() {
    if (waiting_.batch > 0) {
        step_(std::exchange(waiting_, {}), waiting_tokens_, waiting_rows_, 1, false);
        beams_a_row_ = 1;
    }
}

/// The rows of the cache that these beams continue.
std::vector<std::int64_t> DeferredStep::rows_of(Ids beam_index) const {
    std::vector<std::int64_t> rows(beam_index.begin(), beam_index.end());
    std::transform(rows.begin(), rows.end(), rows.begin(), [&](std::int64_t beam) { return beam / beams_a_row_; });
    return rows;
}

}  // namespace s2t
