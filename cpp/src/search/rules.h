/// The decoding rules, transformers' logits processors: what each needs, and those that only lower tokens.
///
/// They act on sparse rows (the best candidates of the graph) or whole ones (the vocabulary). Whole rows are fetched
/// only where a rule may raise a token over the candidates, or where too many would be needed.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "options/plan.h"
#include "s2t/span.h"

namespace s2t {

using History = Span<const std::int64_t>;  ///< of one beam: prompt and tokens so far

/// Whether some rule of the plan may raise a token or needs raw logits: candidates are not enough then.
bool needs_whole_rows(const SearchPlan& plan);

/// Tokens that score -inf in every beam.
struct CommonBans {
    std::vector<char> of_token;  ///< [vocabulary] 0 or 1; empty: none
    std::size_t count = 0;

    bool has(std::int64_t token) const { return !of_token.empty() && of_token[static_cast<std::size_t>(token)] != 0; }
};

/// The rules as they hold for one step.
struct StepRules {
    TokenIds forced;         ///< tokens that replace the row; empty where none does
    bool penalised = false;  ///< whether the repetition penalty acts
    float penalty = 1.0F;
    std::vector<TokenIds> banned;        ///< per row, tokens that score -inf in it; empty where there are none
    const CommonBans* common = nullptr;  ///< never null once made by `Rules::at`
    const CommonBans* late = nullptr;    ///< bans behind the rules of whole rows, or nullptr
    const OutputVocabulary* vocabulary = nullptr;  ///< never null once made by `Rules::at`

    /// How many distinct tokens of a row these rules may lower, at most over the rows.
    std::size_t lowered(const std::vector<History>& histories) const;

    /// Apply the rules that lower to one row; `ids` empty stands for a whole row, a score for each column.
    ///
    /// Bans commute, so those of all rules are applied together, after the penalty as in transformers.
    void apply(std::size_t row, History history, Span<const std::int64_t> ids, Span<float> scores) const;
};

/// The rules of one plan; `at` gives those of one step. It refers to the plan.
class Rules {
  public:
    explicit Rules(const SearchPlan& plan);

    bool whole_rows() const { return whole_rows_; }

    /// The rules for the token that follows the histories, all of one length.
    StepRules at(const std::vector<History>& histories) const;

  private:
    /// Which of the bans that hold for all beams are in force.
    struct CommonKind {
        bool is_short = false;
        bool begin = false;
        bool forced = false;
        std::size_t index() const { return (is_short ? 1U : 0U) + (begin ? 2U : 0U) + (forced ? 4U : 0U); }
    };

    CommonBans made(CommonKind kind) const;
    std::vector<TokenIds> banned(const std::vector<History>& histories) const;

    const SearchPlan& plan_;
    bool whole_rows_;
    TokenIds single_words_;
    std::vector<TokenIds> long_words_;
    std::int64_t least_;
    bool suppresses_late_;
    std::array<CommonBans, 8> commons_;
};

/// Tokens that would repeat an n-gram of the history, after NoRepeatNGramLogitsProcessor.
TokenIds repeated_ngrams(History history, std::int64_t size);

}  // namespace s2t
