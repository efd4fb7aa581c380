/// How long a search may and must be: a call's lengths over a bundle's, within the decoder's positions.
#pragma once

#include <cstdint>
#include <optional>

#include "s2t/options.h"

namespace s2t {

/// Of one search, in tokens.
struct Lengths {
    std::int64_t longest = 0;  ///< in all, prompt included
    std::int64_t least = 0;    ///< in all, prompt included; at most longest
    std::int64_t least_new = 0;
};

/// What a call asks for and cannot have is refused; a bundle's default gives way to the decoder and to the call.
/// Throws OptionError.
Lengths plan_lengths(const GenerateOptions& defaults, const GenerateOptions& call, std::int64_t prompt,
                     const std::optional<std::int64_t>& positions);

/// length + more, or the largest number.
std::int64_t sum_of_lengths(std::int64_t length, std::int64_t more);

}  // namespace s2t
