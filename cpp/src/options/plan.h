/// The plan of a search: a call's options over a bundle's over transformers', resolved and checked.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bundles/output_vocabulary.h"
#include "options/memory.h"
#include "s2t/options.h"

namespace s2t {

/// Everything the search needs to know.
struct SearchPlan {
    TokenIds prompt;            ///< fed first, start token first
    bool joins_prompt = true;  ///< whether the token forced behind it may be fed in the same step
    std::int64_t num_beams = 1;
    std::int64_t num_return_sequences = 1;
    std::int64_t max_length = 0;  ///< in all, prompt included
    std::int64_t min_length = 0;  ///< in all, prompt included
    std::int64_t min_new_tokens = 0;
    double length_penalty = 1.0;
    EarlyStopping early_stopping = EarlyStopping::heuristic;
    TokenIds eos_token_ids;                    ///< empty: hypotheses end at max_length alone
    std::optional<std::int64_t> pad_token_id;  ///< unset only where there is no end token either
    std::optional<std::int64_t> forced_bos_token_id;
    TokenIds forced_eos_token_ids;
    TokenIds suppress_tokens;
    TokenIds begin_suppress_tokens;
    std::int64_t begin_index = 0;  ///< the length at which begin_suppress_tokens holds
    std::int64_t no_repeat_ngram_size = 0;
    double repetition_penalty = 1.0;
    std::vector<TokenIds> bad_words_ids;
    std::vector<std::pair<TokenIds, double>> sequence_bias;
    std::optional<ExponentialDecay> decay;  ///< start: the length behind which end tokens become more likely
    std::function<TokenIds(std::size_t, Span<const std::int64_t>)> prefix_allowed_tokens_fn;
    bool renormalize_logits = false;
    OutputVocabulary vocabulary;
    std::optional<std::string> language;  ///< of the forced first token
};

/// What a plan needs to know of a bundle.
struct PlanContext {
    GenerateOptions defaults;
    std::map<std::string, std::int64_t> languages;
    OutputVocabulary vocabulary;
    std::optional<std::int64_t> max_positions;
    std::optional<TokenIds> alone_ids = TokenIds{};  ///< behind which no forced token may be fed; unset: any may be one
    Memory memory = {};
};

/// Throws OptionError: an option is out of range, contradicts another or would be ignored.
SearchPlan plan_search(const PlanContext& context, const GenerateOptions& call);

}  // namespace s2t
