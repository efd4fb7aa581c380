/// What decoding returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace s2t {

/// One of the n best answers to an utterance.
struct Hypothesis {
    std::string text;                  ///< UTF-8, without special tokens
    std::vector<std::int64_t> tokens;  ///< prompt and end token included
    /// Sum of the log-probabilities / generated tokens ** length_penalty: transformers' sequences_scores in beam
    /// search; greedy decoding sums log-softmax of raw logits, 0 for a forced token.
    float score = 0.0F;
    std::vector<float> log_probs;  ///< of each generated token: after all rules in beam search, raw in greedy
};

/// Seconds; in the batch form those of the whole batch.
struct Timings {
    double encoder = 0.0;
    double first_step = 0.0;
    double decode = 0.0;  ///< the later steps, search included
    double total = 0.0;
};

/// The answer to one utterance; its first hypothesis is spelled out in text, tokens and score.
struct Result {
    std::string text;
    std::vector<std::int64_t> tokens;
    float score = 0.0F;
    std::optional<std::string> language;  ///< of the forced first token, where it is one of the bundle's
    std::vector<Hypothesis> hypotheses;   ///< num_return_sequences of them, best first
    Timings timings_s;
    double audio_s = 0.0;
    bool stopped = false;  ///< whether `stop` ended the search before it was done
};

/// One sequence as far as it is decoded.
struct TokenEvent {
    std::size_t utterance = 0;         ///< its index in the batch
    std::size_t sequence = 0;          ///< always 0: the best hypothesis so far
    std::vector<std::int64_t> tokens;  ///< prompt and tokens so far
    std::string text;                  ///< of these; its end may change once a word is complete
    bool final = false;                ///< whether this is what the result will hold
};

}  // namespace s2t
