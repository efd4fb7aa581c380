#include "search/beams.h"

#include <algorithm>
#include <iterator>

#include "search/probabilities.h"

namespace s2t {

Utterance::Utterance(const TokenIds& prompt, std::size_t beams)
    : running(beams, {prompt, never, {}}), finished(beams, {{prompt, never, {}}, false}) {
    running.front().score = 0.0F;
}

bool Utterance::full() const {
    return std::all_of(finished.begin(), finished.end(), [](const Finished& one) { return one.is_finished; });
}

void Utterance::merge(std::vector<Finished> others) {
    const std::size_t kept = finished.size();
    std::move(others.begin(), others.end(), std::back_inserter(finished));
    // Stable, so that among equals those go first that finished first.
    std::stable_sort(finished.begin(), finished.end(), [](const Finished& one, const Finished& other) {
        return ranks_before(one.hypothesis.score, other.hypothesis.score);
    });
    finished.resize(kept);
}

FoundHypothesis extended(const FoundHypothesis& parent, const Choice& choice, float score) {
    FoundHypothesis hypothesis;
    hypothesis.tokens.reserve(parent.tokens.size() + 1);
    hypothesis.tokens = parent.tokens;
    hypothesis.tokens.push_back(choice.token);
    hypothesis.log_probs.reserve(parent.log_probs.size() + 1);
    hypothesis.log_probs = parent.log_probs;
    hypothesis.log_probs.push_back(choice.log_prob);
    hypothesis.score = score;
    return hypothesis;
}

}  // namespace s2t
