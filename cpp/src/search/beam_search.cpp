// Beam search, a copy of transformers' _beam_search. Its twin is s2t_runtime/search/beam_search.py.
//
// All scores are float and every sum, division and penalty is taken in transformers' order, so that hypotheses and
// scores are the same. What torch.topk leaves open is settled here: among equal scores the lower beam goes first, then
// the lower token id, and finished hypotheses before newly finished ones.

#include <algorithm>
#include <numeric>

#include "search/beams.h"
#include "search/probabilities.h"
#include "search/rows.h"
#include "search/search.h"

namespace s2t {

namespace {

class BeamSearch {
  public:
    BeamSearch(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates)
        : plan_(plan),
          beams_(static_cast<std::size_t>(plan.num_beams)),
          // Enough that num_beams go on even where every end token of every beam is among the best.
          keep_(std::min(std::max<std::size_t>(2, 1 + plan.eos_token_ids.size()) * beams_,
                         beams_ * plan.vocabulary.width())),
          source_(step, plan, std::max<std::size_t>(2, 1 + plan.eos_token_ids.size()) * beams_, max_candidates),
          length_(static_cast<std::int64_t>(plan.prompt.size())),
          // Where scores may be positive, those that may not finish can outrank an empty place all the same.
          contenders_(!plan.sequence_bias.empty() || plan.decay ? keep_ : beams_),
          utterances_(batch, Utterance(plan.prompt, beams_)) {}

    SearchResult run(const SearchCallbacks& callbacks) {
        const std::size_t batch = utterances_.size();
        first_step(callbacks);
        SearchResult result;
        result.steps = 1;
        // The cache has one row per utterance still, whatever beam a token came from.
        std::vector<std::int64_t> beam_index;
        for (std::size_t utterance = 0; utterance < batch; ++utterance) {
            beam_index.insert(beam_index.end(), beams_, static_cast<std::int64_t>(utterance));
        }
        std::vector<char> before = active();
        while (std::find(before.begin(), before.end(), 1) != before.end()) {
            if (callbacks.stop && callbacks.stop()) {
                finish_running();
                result.stopped = true;
                break;
            }
            beam_index = later_step(beam_index, before);
            ++result.steps;
            tell(callbacks, before);
            before = active();
        }
        if (result.stopped) {
            for (Utterance& utterance : utterances_) {
                utterance.active = false;
            }
            tell(callbacks, before);
        }
        for (const Utterance& utterance : utterances_) {
            result.hypotheses.emplace_back();
            for (std::size_t rank = 0; rank < static_cast<std::size_t>(plan_.num_return_sequences); ++rank) {
                result.hypotheses.back().push_back(utterance.finished[rank].hypothesis);
            }
        }
        return result;
    }

  private:
    void first_step(const SearchCallbacks& callbacks) {
        const std::size_t batch = utterances_.size();
        std::vector<std::int64_t> own(batch);
        std::iota(own.begin(), own.end(), std::int64_t{0});
        std::vector<std::int64_t> prompts;
        for (std::size_t utterance = 0; utterance < batch; ++utterance) {
            prompts.insert(prompts.end(), plan_.prompt.begin(), plan_.prompt.end());
        }
        const std::vector<char> before = active();
        advance(source_.rows({batch, 1}, prompts, own, std::vector<History>(batch, plan_.prompt), before), 1);
        tell(callbacks, before);
    }

    std::vector<std::int64_t> later_step(Ids beam_index, const std::vector<char>& before) {
        std::vector<History> histories;  // views, which hold until the beams advance
        std::vector<std::int64_t> newest;
        for (const Utterance& utterance : utterances_) {
            for (const FoundHypothesis& beam : utterance.running) {
                histories.emplace_back(beam.tokens);
                newest.push_back(beam.tokens.back());
            }
        }
        return advance(source_.rows({utterances_.size(), beams_}, newest, beam_index, histories, before), beams_);
    }

    std::vector<char> active() const {
        std::vector<char> result;
        for (const Utterance& utterance : utterances_) {
            result.push_back(utterance.active ? 1 : 0);
        }
        return result;
    }

    /// Extend the beams by one token; returns the cache row that each continues.
    ///
    /// `rows_each`: rows of an utterance. The one row of the first step stands for all its beams.
    std::vector<std::int64_t> advance(const Rows& rows, std::size_t rows_each) {
        std::vector<std::int64_t> beam_index;
        for (std::size_t number = 0; number < utterances_.size(); ++number) {
            Utterance& utterance = utterances_[number];
            const std::vector<Choice> chosen = choose(utterance, rows, number * rows_each, rows_each);
            const auto last = chosen.begin() + static_cast<std::ptrdiff_t>(std::min(beams_, chosen.size()));
            const bool any_ends = std::any_of(chosen.begin(), last, [](const Choice& one) { return one.ends; });
            if (utterance.active && (contenders_ > beams_ || any_ends)) {
                update_finished(utterance, chosen);
            }
            for (const std::size_t parent : go_on(utterance, chosen)) {
                beam_index.push_back(static_cast<std::int64_t>(number * beams_ + parent));
            }
            update_active(utterance, chosen);
        }
        ++length_;
        return beam_index;
    }

    /// _get_top_k_continuations: the best over all beams of an utterance.
    std::vector<Choice> choose(const Utterance& utterance, const Rows& rows, std::size_t first_row,
                               std::size_t rows_each) const {
        const bool at_end = length_ + 1 >= plan_.max_length;
        std::vector<Choice> all;
        all.reserve(beams_ * rows.width);
        for (std::size_t beam = 0; beam < beams_; ++beam) {
            const std::size_t row = first_row + (rows_each == 1 ? 0 : beam);
            for (std::size_t place = row * rows.width; place < (row + 1) * rows.width; ++place) {
                const float score = rows.scores[place] + utterance.running[beam].score;
                all.push_back({beam, rows.ids[place], rows.log_probs[place], score, false});
            }
        }
        const auto kept = all.begin() + static_cast<std::ptrdiff_t>(std::min(keep_, all.size()));
        std::partial_sort(all.begin(), kept, all.end(), [](const Choice& one, const Choice& other) {
            if (ranks_before(one.score, other.score) || ranks_before(other.score, one.score)) {
                return ranks_before(one.score, other.score);
            }
            return one.parent != other.parent ? one.parent < other.parent : one.token < other.token;
        });
        all.erase(kept, all.end());
        for (Choice& choice : all) {
            const TokenIds& ends = plan_.eos_token_ids;
            choice.ends = at_end || std::find(ends.begin(), ends.end(), choice.token) != ends.end();
        }
        return all;
    }

    /// _get_running_beams_for_next_iteration: the best that have not ended; returns the beam that each continues.
    std::vector<std::size_t> go_on(Utterance& utterance, const std::vector<Choice>& chosen) const {
        std::vector<float> scores;
        for (const Choice& choice : chosen) {
            scores.push_back(choice.score + (choice.ends ? never : 0.0F));
        }
        std::vector<FoundHypothesis> next;
        std::vector<std::size_t> parents;
        for (const std::int64_t best : best_places(scores, beams_)) {
            const Choice& choice = chosen[static_cast<std::size_t>(best)];
            next.push_back(extended(utterance.running[choice.parent], choice, scores[static_cast<std::size_t>(best)]));
            parents.push_back(choice.parent);
        }
        utterance.running = std::move(next);
        return parents;
    }

    /// _update_finished_beams, for the first num_beams continuations.
    ///
    /// Only those may finish. The others carry a penalty in transformers that no place among the finished is ever worse
    /// than, so they are left out; unless scores may be positive.
    void update_finished(Utterance& utterance, const std::vector<Choice>& chosen) const {
        const bool closed = plan_.early_stopping == EarlyStopping::at_beams && utterance.full();
        std::vector<Finished> others;
        for (std::size_t rank = 0; rank < std::min(contenders_, chosen.size()); ++rank) {
            const Choice& choice = chosen[rank];
            const bool ends = choice.ends && rank < beams_;
            float score = over_length(choice.score, new_tokens() + 1);
            score += closed ? never : 0.0F;  // one by one: the sum is rounded each time
            score += utterance.may_improve ? 0.0F : never;
            score += ends ? 0.0F : never;
            others.push_back({extended(utterance.running[choice.parent], choice, score), ends});
        }
        utterance.merge(std::move(others));
    }

    /// _check_early_stop_heuristic and _beam_search_has_unfinished_sequences.
    void update_active(Utterance& utterance, const std::vector<Choice>& chosen) const {
        const bool longest = plan_.early_stopping == EarlyStopping::never && plan_.length_penalty > 0.0;
        const std::int64_t length =
            longest ? plan_.max_length - static_cast<std::int64_t>(plan_.prompt.size()) : new_tokens() + 1;
        const float best = over_length(utterance.running.front().score, length);
        const float worst = utterance.finished.back().hypothesis.score;  // they are in order
        const bool better = std::any_of(utterance.finished.begin(), utterance.finished.end(),
                                        [&](const Finished& one) { return best > (one.is_finished ? worst : never); });
        utterance.may_improve = utterance.may_improve && better;
        const bool all_end = std::all_of(chosen.begin(), chosen.end(), [](const Choice& one) { return one.ends; });
        const bool closed = plan_.early_stopping == EarlyStopping::at_beams && utterance.full();
        utterance.active = utterance.active && utterance.may_improve && !all_end && !closed;
    }

    /// Tell the best hypothesis so far of each utterance that had not ended before this step.
    void tell(const SearchCallbacks& callbacks, const std::vector<char>& before) const {
        for (std::size_t number = 0; callbacks.observe && number < utterances_.size(); ++number) {
            const Utterance& utterance = utterances_[number];
            if (before[number] == 0) {
                continue;
            }
            const FoundHypothesis& running = utterance.running.front();
            const FoundHypothesis& finished = utterance.finished.front().hypothesis;
            const bool done = !utterance.active || finished.score >= over_length(running.score, new_tokens());
            callbacks.observe(number, done ? finished.tokens : running.tokens, !utterance.active);
        }
    }

    /// Count the running beams as finished where they are, as the maximum length would.
    void finish_running() {
        for (Utterance& utterance : utterances_) {
            std::vector<Finished> others;
            for (FoundHypothesis one : utterance.running) {
                one.score = over_length(one.score, new_tokens());
                others.push_back({std::move(one), true});
            }
            if (utterance.active) {
                utterance.merge(std::move(others));
            }
        }
    }

    std::int64_t new_tokens() const { return length_ - static_cast<std::int64_t>(plan_.prompt.size()); }

    float over_length(float score, std::int64_t length) const {
        return score / length_divisor(length, plan_.length_penalty);
    }

    const SearchPlan& plan_;
    std::size_t beams_;
    std::size_t keep_;
    RowSource source_;
    std::int64_t length_;  // tokens of the running beams, prompt included
    std::size_t contenders_;
    std::vector<Utterance> utterances_;
};

}  // namespace

SearchResult beam_search(Step& step, const SearchPlan& plan, std::size_t batch, std::size_t max_candidates,
                         const SearchCallbacks& callbacks) {
    return BeamSearch(step, plan, batch, max_candidates).run(callbacks);
}

}  // namespace s2t
