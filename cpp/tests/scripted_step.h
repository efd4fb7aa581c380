/// Scripted steps, which decode with no model.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "search/probabilities.h"
#include "sessions/step.h"
#include "vectors.h"

namespace s2t::tests {

constexpr std::size_t vocabulary = 8;

using Script = std::function<std::vector<float>(std::size_t utterance, const std::vector<std::int64_t>& history)>;

/// A decoder whose logits are a function of the utterance and its tokens; it checks how it is called.
class ScriptedStep final : public Step {
  public:
    explicit ScriptedStep(Script script) : script_(std::move(script)) {}

    Candidates operator()(RowShape shape, Ids tokens, Ids beam_index, std::size_t candidates,
                          bool with_logits) override {
        REQUIRE(beam_index.size() == shape.rows());
        std::vector<std::vector<std::int64_t>> rows;
        const std::size_t fresh = tokens.size() / shape.rows();
        const std::size_t previous = rows_.size() / shape.batch;
        for (std::size_t row = 0; row < shape.rows(); ++row) {
            const auto parent = static_cast<std::size_t>(beam_index[row]);
            const std::size_t utterance = row / shape.beams;
            if (!rows_.empty()) {
                REQUIRE(parent / previous == utterance);
            }
            rows.push_back(rows_.empty() ? std::vector<std::int64_t>{} : rows_[parent]);
            const Ids own = tokens.subspan(row * fresh, fresh);
            rows.back().insert(rows.back().end(), own.begin(), own.end());
        }
        rows_ = std::move(rows);
        score(shape, candidates);
        wanted.push_back(candidates);
        fed.push_back(fresh);
        return {log_probs_, ids_, with_logits ? Floats(logits_) : Floats()};
    }

    std::vector<std::size_t> wanted;  ///< candidates asked for, by step
    std::vector<std::size_t> fed;     ///< tokens of each row, by step

  private:
    void score(RowShape shape, std::size_t candidates) {
        log_probs_.clear();
        ids_.clear();
        logits_.clear();
        for (std::size_t row = 0; row < shape.rows(); ++row) {
            const std::vector<float> logits = script_(row / shape.beams, rows_[row]);
            std::vector<float> scores(logits.size());
            log_softmax(logits, scores);
            for (const std::int64_t place : best_places(scores, candidates)) {
                ids_.push_back(place);
                log_probs_.push_back(scores[static_cast<std::size_t>(place)]);
            }
            logits_.insert(logits_.end(), logits.begin(), logits.end());
        }
    }

    Script script_;
    std::vector<std::vector<std::int64_t>> rows_;
    std::vector<float> log_probs_;
    std::vector<std::int64_t> ids_;
    std::vector<float> logits_;
};

/// Logits that depend on everything before, without equals.
inline std::vector<float> mixed(std::size_t utterance, const std::vector<std::int64_t>& history) {
    std::uint64_t state = 88172645463325252ULL + utterance * 1000003;
    for (const std::int64_t token : history) {
        state = (state ^ static_cast<std::uint64_t>(token + 1)) * 6364136223846793005ULL + 1442695040888963407ULL;
    }
    std::vector<float> logits;
    for (std::size_t token = 0; token < vocabulary; ++token) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        logits.push_back(static_cast<float>(state >> 40U) / 16777216.0F * 4.0F);
    }
    return logits;
}

}  // namespace s2t::tests
