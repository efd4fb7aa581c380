/// What a caller asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "s2t/result.h"
#include "s2t/span.h"

namespace s2t {

/// How a bundle is loaded.
struct LoadOptions {
    enum class Verify {
        fast,  ///< every file's size, and the SHA-256 of files under 64 MiB
        full,  ///< every file's SHA-256
    };

    enum class Weights {
        mapped,  ///< the system reads weights from their files as they are used
        memory,  ///< read whole: for file systems where others write, since a mapped file changes with its file
    };

    std::string precision;         ///< one that the bundle holds; empty: its default
    std::string provider = "cpu";  ///< "cpu" or "cuda"
    /// For one operator; unset: the physical cores that this process may use, and no more than its cgroup's quota.
    std::optional<int> threads;
    std::optional<bool> spin;  ///< whether these threads spin between operators; unset: for 50 us at most
    Verify verify = Verify::fast;
    Weights weights = Weights::mapped;
};

enum class EarlyStopping {
    heuristic,  ///< transformers' False: stop where no running beam looks better than the finished ones
    at_beams,   ///< True: stop at num_beams finished hypotheses
    never,      ///< "never": stop where no running beam can become better
};

/// From start + 1 new tokens on end tokens become more likely, by a growing factor.
struct ExponentialDecay {
    std::int64_t start = 0;
    double factor = 0.0;  ///< 0 switches a bundle's default off
};

using TokenIds = std::vector<std::int64_t>;

/// Decoding options of a call, with the meaning that transformers' generate() gives them.
///
/// What is left unset takes the bundle's default, and where the bundle has none transformers' own. An empty
/// list switches a default off.
struct GenerateOptions {
    std::optional<std::string> language;               ///< a code of the bundle; forces its token first
    std::optional<std::int64_t> num_beams;             ///< beams per utterance; 1 decodes greedily
    std::optional<std::int64_t> num_return_sequences;  ///< hypotheses per utterance, at most num_beams
    std::optional<std::int64_t> max_length;            ///< tokens in all, prompt included; before both of the bundle's
    std::optional<std::int64_t> max_new_tokens;        ///< tokens after the prompt; not beside max_length
    std::optional<std::int64_t> min_length;            ///< no end token before this many tokens in all
    std::optional<std::int64_t> min_new_tokens;        ///< no end token before this many new ones
    std::optional<double> length_penalty;              ///< a hypothesis scores its log-probability / new tokens ** this
    std::optional<EarlyStopping> early_stopping;
    std::optional<std::int64_t> forced_bos_token_id;     ///< the first token after the start token alone
    std::optional<TokenIds> forced_eos_token_id;         ///< the last token where the maximum length is reached
    std::optional<TokenIds> eos_token_id;                ///< the tokens that end a hypothesis
    std::optional<std::int64_t> decoder_start_token_id;  ///< the first token of the prompt
    std::optional<std::int64_t> bos_token_id;            ///< stands in for an unset decoder_start_token_id
    std::optional<std::int64_t> pad_token_id;            ///< fed to rows that ended; unset: the first end token
    std::optional<TokenIds> decoder_prompt_ids;          ///< prompt; the start token is put in front if absent
    std::optional<TokenIds> suppress_tokens;             ///< tokens that are never chosen
    std::optional<TokenIds> begin_suppress_tokens;       ///< tokens that are never chosen first
    std::optional<std::int64_t> no_repeat_ngram_size;    ///< n-grams of this size occur once at most; 0: off
    std::optional<double> repetition_penalty;            ///< above 1 lowers tokens that already occurred, below raises
    std::optional<std::vector<TokenIds>> bad_words_ids;  ///< token sequences that never occur
    /// Added to the score of a sequence's last token where the rest of it stands before.
    std::optional<std::vector<std::pair<TokenIds, double>>> sequence_bias;
    std::optional<ExponentialDecay> exponential_decay_length_penalty;
    std::optional<bool> renormalize_logits;  ///< scores are log-probabilities again after all other rules
    std::optional<bool> do_sample;  ///< true is refused: this library draws no tokens; false overrules a bundle

    /// Gives the ids that may follow the tokens of an utterance of the call; called from the caller's thread.
    std::function<TokenIds(std::size_t utterance, Span<const std::int64_t> tokens)> prefix_allowed_tokens_fn;
    /// Asked before each decoder step but the first; once it returns true the running beams count as finished.
    std::function<bool()> stop;
    /// Called after each decoder step with every sequence that the step went on with.
    std::function<void(const TokenEvent&)> on_token;
};

}  // namespace s2t
