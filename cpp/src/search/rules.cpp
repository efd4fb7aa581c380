#include "search/rules.h"

#include <algorithm>

#include "numbers.h"
#include "search/probabilities.h"

namespace s2t {

namespace {

bool contains(Span<const std::int64_t> tokens, std::int64_t token) {
    return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

/// Whether the history ends in all of the word but its last token.
bool completes(History history, const TokenIds& word) {
    return history.size() + 1 >= word.size() &&
           std::equal(word.begin(), word.end() - 1, history.end() - (word.size() - 1));
}

}  // namespace

bool needs_whole_rows(const SearchPlan& plan) {
    // Log-probabilities are never positive, so a penalty above 1 lowers them; raw logits, which greedy decoding
    // penalises, have both signs, and their size does not follow from the candidates.
    const bool penalty = plan.repetition_penalty != 1.0 && !(plan.num_beams > 1 && plan.repetition_penalty > 1.0);
    return penalty || !plan.sequence_bias.empty() || plan.prefix_allowed_tokens_fn || plan.decay ||
           plan.renormalize_logits;
}

std::size_t StepRules::lowered(const std::vector<History>& histories) const {
    std::size_t most = 0;
    TokenIds own;
    for (std::size_t row = 0; row < histories.size(); ++row) {
        own.clear();
        if (penalised) {
            own.assign(histories[row].begin(), histories[row].end());
        }
        if (!banned.empty()) {
            own.insert(own.end(), banned[row].begin(), banned[row].end());
        }
        if (own.empty()) {
            continue;
        }
        std::sort(own.begin(), own.end());
        own.erase(std::unique(own.begin(), own.end()), own.end());
        const auto counted =
            std::count_if(own.begin(), own.end(), [&](std::int64_t token) { return !common->has(token); });
        most = std::max(most, static_cast<std::size_t>(counted));
    }
    return common->count + most;
}

void StepRules::apply(std::size_t row, History history, Span<const std::int64_t> ids, Span<float> scores) const {
    const auto penalise = [&](float& score) { score = score < 0 ? score * penalty : score / penalty; };
    if (ids.empty()) {  // a whole row: by column
        if (penalised) {
            TokenIds seen(history.begin(), history.end());
            std::sort(seen.begin(), seen.end());
            seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
            for (const std::int64_t token : seen) {
                if (const auto column = vocabulary->column(token)) {
                    penalise(scores[*column]);
                }
            }
        }
        if (!banned.empty()) {
            for (const std::int64_t token : banned[row]) {
                if (const auto column = vocabulary->column(token)) {
                    scores[*column] = impossible;
                }
            }
        }
        for (std::size_t column = 0; common->count > 0 && column < scores.size(); ++column) {
            scores[column] = common->has(vocabulary->id(column)) ? impossible : scores[column];
        }
        return;
    }
    for (std::size_t place = 0; place < ids.size(); ++place) {
        const std::int64_t token = ids[place];
        if (penalised && contains(history, token)) {
            penalise(scores[place]);
        }
        if (common->has(token) || (!banned.empty() && contains(banned[row], token))) {
            scores[place] = impossible;
        }
    }
}

TokenIds repeated_ngrams(History history, std::int64_t size) {
    TokenIds found;
    if (static_cast<std::int64_t>(history.size()) < size) {
        return found;
    }
    const auto prefix = static_cast<std::size_t>(size - 1);
    const History newest = history.subspan(history.size() - prefix, prefix);
    for (std::size_t start = 0; start + prefix < history.size(); ++start) {
        if (std::equal(newest.begin(), newest.end(), history.begin() + start)) {
            found.push_back(history[start + prefix]);
        }
    }
    return found;
}

Rules::Rules(const SearchPlan& plan)
    : plan_(plan),
      whole_rows_(needs_whole_rows(plan)),
      least_(std::max(plan.min_length, static_cast<std::int64_t>(plan.prompt.size()) + plan.min_new_tokens)),
      // A prefix constraint looks at what the rules before it left, and suppressed tokens come behind it.
      suppresses_late_(static_cast<bool>(plan.prefix_allowed_tokens_fn)) {
    for (const TokenIds& word : plan.bad_words_ids) {
        if (word.size() > 1) {
            long_words_.push_back(word);
        } else if (!contains(plan.eos_token_ids, word.front())) {
            single_words_.push_back(word.front());  // an end token is never a bad word by itself
        }
    }
    for (std::size_t index = 0; index < commons_.size(); ++index) {
        commons_[index] = made({(index & 1U) != 0, (index & 2U) != 0, (index & 4U) != 0});
    }
}

CommonBans Rules::made(CommonKind kind) const {
    TokenIds tokens;
    const auto add = [&](const TokenIds& more) { tokens.insert(tokens.end(), more.begin(), more.end()); };
    if (kind.forced || !suppresses_late_) {
        add(plan_.suppress_tokens);
        add(kind.begin ? plan_.begin_suppress_tokens : TokenIds{});
    }
    add(kind.forced ? TokenIds{} : single_words_);
    add(kind.is_short ? plan_.eos_token_ids : TokenIds{});
    CommonBans bans;
    if (!tokens.empty()) {
        bans.of_token.assign(static_cast<std::size_t>(plan_.vocabulary.vocab_size()), 0);
        for (const std::int64_t token : tokens) {
            char& banned = bans.of_token[static_cast<std::size_t>(token)];
            bans.count += banned == 0 ? 1 : 0;
            banned = 1;
        }
    }
    return bans;
}

StepRules Rules::at(const std::vector<History>& histories) const {
    const auto length = static_cast<std::int64_t>(histories.front().size());
    const bool begin = length == plan_.begin_index;
    StepRules rules;
    rules.vocabulary = &plan_.vocabulary;
    // forced_eos comes after forced_bos and replaces what that one left.
    if (!plan_.forced_eos_token_ids.empty() && length == plan_.max_length - 1) {
        rules.forced = plan_.forced_eos_token_ids;
    } else if (plan_.forced_bos_token_id && length == 1) {
        rules.forced = {*plan_.forced_bos_token_id};
    }
    const CommonBans& suppressed = commons_[CommonKind{false, begin, true}.index()];
    if (!rules.forced.empty()) {
        rules.common = &suppressed;
        return rules;
    }
    rules.common = &commons_[CommonKind{length < least_, begin, false}.index()];
    rules.penalised = plan_.repetition_penalty != 1.0;
    rules.penalty = single(plan_.repetition_penalty);
    rules.banned = banned(histories);
    rules.late = suppresses_late_ ? &suppressed : nullptr;
    return rules;
}

std::vector<TokenIds> Rules::banned(const std::vector<History>& histories) const {
    if (plan_.no_repeat_ngram_size == 0 && long_words_.empty()) {
        return {};
    }
    std::vector<TokenIds> found(histories.size());
    for (std::size_t row = 0; row < histories.size(); ++row) {
        if (plan_.no_repeat_ngram_size > 0) {
            found[row] = repeated_ngrams(histories[row], plan_.no_repeat_ngram_size);
        }
        for (const TokenIds& word : long_words_) {
            if (completes(histories[row], word)) {
                found[row].push_back(word.back());
            }
        }
    }
    return found;
}

}  // namespace s2t
