/// What may follow each beam: rows of candidates, fetched from the decoder and taken through the rules.
#pragma once

#include <cstdint>
#include <vector>

#include "options/plan.h"
#include "search/deferred_step.h"
#include "search/rules.h"
#include "sessions/step.h"
#include "search/whole_row_rules.h"

namespace s2t {

/// Candidates of each beam, [rows, width] each.
struct Rows {
    std::size_t width = 0;
    std::vector<std::int64_t> ids;
    std::vector<float> scores;     ///< what tokens are chosen by, after the rules
    std::vector<float> log_probs;  ///< what is reported of a chosen token; the scores themselves in beam search
};

/// Asks the step for as many candidates as the rules of the step need. It refers to the step and the plan.
class RowSource {
  public:
    RowSource(Step& step, const SearchPlan& plan, std::size_t keep, std::size_t max_candidates);

    /// Decode one step and apply the rules.
    ///
    /// `tokens` and `beam_index` are as in `Step`, `histories` [rows] hold prompt and tokens so far, `tokens` included.
    /// `active` [batch] says which utterances have not ended; what follows the others is of no use to the caller.
    /// Returns at least `keep` candidates per beam, among them the `keep` best.
    Rows rows(RowShape shape, Ids tokens, Ids beam_index, const std::vector<History>& histories,
              const std::vector<char>& active);

  private:
    Rows forced(RowShape shape, const StepRules& rules) const;
    Rows whole(RowShape shape, Floats logits, const StepRules& rules, const std::vector<History>& histories,
               const std::vector<char>& active) const;

    DeferredStep step_;
    const SearchPlan& plan_;
    Rules rules_;
    SequenceBias bias_;
    std::size_t width_;  // of whole rows
    std::size_t keep_;
    std::size_t max_candidates_;
};

}  // namespace s2t
