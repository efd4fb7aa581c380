#include "options/lengths.h"

#include <algorithm>
#include <limits>
#include <string>

#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

using Length = std::optional<std::int64_t>;

constexpr std::int64_t default_new_tokens = 20;  // transformers' length where neither call nor bundle sets one
constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();

std::string text(std::int64_t value) { return std::to_string(value); }

/// A length with its prompt: of one holder's two, the number of new tokens goes before the other.
Length in_all(const Length& length, const Length& fresh, std::int64_t prompt) {
    return fresh ? Length(sum_of_lengths(prompt, *fresh)) : length;
}

void refuse_both(const char* end, const Length& length, const Length& fresh) {
    if (length && fresh) {
        throw OptionError(say("option.outranked", {{"end", end}, {"length", text(*length)}, {"new", text(*fresh)}}));
    }
}

std::int64_t longest_of(const GenerateOptions& defaults, const GenerateOptions& call, std::int64_t prompt,
                        const Length& positions) {
    // The last token is never fed, so it needs no position.
    const std::int64_t limit = positions ? sum_of_lengths(*positions, 1) : no_limit;
    const Length asked = in_all(call.max_length, call.max_new_tokens, prompt);
    const Length stored = in_all(defaults.max_length, defaults.max_new_tokens, prompt);
    const std::int64_t length =
        asked ? *asked : std::min(stored.value_or(sum_of_lengths(prompt, default_new_tokens)), limit);
    if (prompt >= std::min(length, limit)) {
        throw OptionError(say("option.no_room", {{"prompt", text(prompt)}, {"limit", text(std::min(length, limit))}}));
    }
    if (length > limit) {
        throw OptionError(
            say(call.max_new_tokens ? "option.too_long_new" : "option.too_long",
                {{"length", text(length)},
                 {"new", text(call.max_new_tokens.value_or(0))},
                 {"prompt", text(prompt)},
                 {"positions", text(*positions)},
                 {"limit", text(limit)},
                 {"most", text(limit - prompt)}}));
    }
    return length;
}

std::int64_t least_of(const GenerateOptions& defaults, const GenerateOptions& call, std::int64_t prompt,
                      std::int64_t longest) {
    const Length asked = in_all(call.min_length, call.min_new_tokens, prompt);
    if (!asked) {
        // As in transformers, which warns: no end token comes before the last one.
        return std::min(in_all(defaults.min_length, defaults.min_new_tokens, prompt).value_or(0), longest);
    }
    if (*asked > longest) {
        throw OptionError(say("option.min_above_max", {{"least", text(*asked)}, {"longest", text(longest)}}));
    }
    return *asked;
}

}  // namespace

std::int64_t sum_of_lengths(std::int64_t length, std::int64_t more) {
    return more > no_limit - length ? no_limit : length + more;
}

Lengths plan_lengths(const GenerateOptions& defaults, const GenerateOptions& call, std::int64_t prompt,
                     const std::optional<std::int64_t>& positions) {
    refuse_both("max", call.max_length, call.max_new_tokens);
    refuse_both("min", call.min_length, call.min_new_tokens);
    Lengths lengths;
    lengths.longest = longest_of(defaults, call, prompt, positions);
    lengths.least = least_of(defaults, call, prompt, lengths.longest);
    lengths.least_new = call.min_new_tokens.value_or(call.min_length ? 0 : defaults.min_new_tokens.value_or(0));
    return lengths;
}

}  // namespace s2t
