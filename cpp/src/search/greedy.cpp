// Greedy decoding: transformers' _sample without sampling. Its twin is s2t_runtime/search/greedy.py.

#include <algorithm>
#include <numeric>

#include "search/probabilities.h"
#include "search/rows.h"
#include "search/search.h"

namespace s2t {

namespace {

/// The state of one decoding of one sequence per utterance; `run` takes it to its end.
class Greedy {
  public:
    Greedy(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates)
        : plan_(plan),
          source_(step, plan, 1, max_candidates),
          prompt_(plan.prompt.size()),
          tokens_(batch, plan.prompt),
          log_probs_(batch),
          running_(batch, 1) {}

    SearchResult run(const SearchCallbacks& callbacks) {
        const std::size_t batch = tokens_.size();
        std::vector<std::int64_t> beam_index(batch);
        std::iota(beam_index.begin(), beam_index.end(), std::int64_t{0});
        std::vector<std::int64_t> fed;
        for (const TokenIds& own : tokens_) {
            fed.insert(fed.end(), own.begin(), own.end());
        }
        SearchResult result;
        while (any_running() && !full()) {
            if (result.steps > 0 && callbacks.stop && callbacks.stop()) {
                result.stopped = true;
                break;
            }
            const std::vector<char> before = running_;
            fed = append(source_.rows({batch, 1}, fed, beam_index, {tokens_.begin(), tokens_.end()}, running_));
            ++result.steps;
            tell(callbacks, before, full());
        }
        if (result.stopped) {
            tell(callbacks, running_, true);
        }
        for (std::size_t utterance = 0; utterance < batch; ++utterance) {
            result.hypotheses.push_back({hypothesis(utterance)});
        }
        return result;
    }

  private:
    bool any_running() const { return std::find(running_.begin(), running_.end(), 1) != running_.end(); }
    bool full() const { return static_cast<std::int64_t>(tokens_.front().size()) >= plan_.max_length; }

    /// Take the best token of each row, the lower id among equals; returns what is fed next.
    std::vector<std::int64_t> append(const Rows& rows) {
        std::vector<std::int64_t> fed(tokens_.size());
        for (std::size_t utterance = 0; utterance < tokens_.size(); ++utterance) {
            std::size_t best = utterance * rows.width;
            for (std::size_t place = best + 1; place < (utterance + 1) * rows.width; ++place) {
                const bool equal = rows.scores[place] == rows.scores[best];
                if (ranks_before(rows.scores[place], rows.scores[best]) ||
                    (equal && rows.ids[place] < rows.ids[best])) {
                    best = place;
                }
            }
            // A row that has ended is fed padding; without an end token no row ends.
            const std::int64_t token =
                running_[utterance] != 0 ? rows.ids[best] : plan_.pad_token_id.value_or(rows.ids[best]);
            if (running_[utterance] != 0) {
                log_probs_[utterance].push_back(rows.log_probs[best]);
                const TokenIds& ends = plan_.eos_token_ids;
                running_[utterance] = std::find(ends.begin(), ends.end(), token) == ends.end() ? 1 : 0;
            }
            tokens_[utterance].push_back(token);
            fed[utterance] = token;
        }
        return fed;
    }

    void tell(const SearchCallbacks& callbacks, const std::vector<char>& told, bool last) const {
        for (std::size_t utterance = 0; callbacks.observe && utterance < told.size(); ++utterance) {
            if (told[utterance] != 0) {
                callbacks.observe(utterance, tokens(utterance), last || running_[utterance] == 0);
            }
        }
    }

    std::vector<std::int64_t> tokens(std::size_t utterance) const {
        const TokenIds& own = tokens_[utterance];
        return {own.begin(), own.begin() + static_cast<std::ptrdiff_t>(prompt_ + log_probs_[utterance].size())};
    }

    FoundHypothesis hypothesis(std::size_t utterance) const {
        const std::vector<float>& log_probs = log_probs_[utterance];
        const auto length = static_cast<std::int64_t>(log_probs.size());
        const float score = numpy_sum(log_probs) / length_divisor(length, plan_.length_penalty);
        return {tokens(utterance), score, log_probs};
    }

    const SearchPlan& plan_;
    RowSource source_;
    std::size_t prompt_;
    std::vector<TokenIds> tokens_;               // prompt, new tokens and padding
    std::vector<std::vector<float>> log_probs_;  // of each new token
    std::vector<char> running_;
};

}  // namespace

SearchResult greedy_search(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates,
                           const SearchCallbacks& callbacks) {
    return Greedy(step, plan, batch, max_candidates).run(callbacks);
}

SearchResult search(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates,
                    const SearchCallbacks& callbacks) {
    const auto decode = plan.num_beams > 1 ? beam_search : greedy_search;
    return decode(step, plan, batch, max_candidates, callbacks);
}

}  // namespace s2t
