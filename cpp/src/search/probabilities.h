/// Softmax's relatives and orders of single rows of scores, in which -inf stands for a token that cannot follow.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "s2t/span.h"

namespace s2t {

inline constexpr float impossible = -std::numeric_limits<float>::infinity();

/// Log-probabilities of the scores of one row, at least one of them finite.
void log_softmax(Span<const float> scores, Span<float> result);

/// `log_softmax` in place; a row without any token that can follow stays as it is.
void renormalize(Span<float> scores);

/// Whether a score ranks before another: NaN, of a broken model, comes last.
bool ranks_before(float one, float other);

/// Places of the `keep` best of a row, lower ones first among equals.
std::vector<std::int64_t> best_places(Span<const float> scores, std::size_t keep);

/// length ** penalty, by which a score is divided.
float length_divisor(std::int64_t length, double penalty);

/// The sum in the order in which numpy adds float32 values.
float numpy_sum(Span<const float> values);

}  // namespace s2t
