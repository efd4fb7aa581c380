#include "numbers.h"
#include "search/probabilities.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace s2t {

void log_softmax(Span<const float> scores, Span<float> result) {
    float best = impossible;
    for (const float score : scores) {
        best = std::max(best, score);
    }
    double total = 0.0;
    for (const float score : scores) {
        total += std::exp(score - best);
    }
    const auto logarithm = static_cast<float>(std::log(total));
    for (std::size_t place = 0; place < scores.size(); ++place) {
        result[place] = (scores[place] - best) - logarithm;
    }
}

void renormalize(Span<float> scores) {
    if (std::any_of(scores.begin(), scores.end(), [](float score) { return score > impossible; })) {
        log_softmax(scores, scores);
    }
}

bool ranks_before(float one, float other) { return one > other || (std::isnan(other) && !std::isnan(one)); }

std::vector<std::int64_t> best_places(Span<const float> scores, std::size_t keep) {
    // A row may be a whole vocabulary wide and `keep` is a handful: the kept ones lie in a heap, the worst on top.
    const auto before = [&](std::int64_t one, std::int64_t other) {
        const float first = scores[static_cast<std::size_t>(one)];
        const float second = scores[static_cast<std::size_t>(other)];
        return ranks_before(first, second) || (!ranks_before(second, first) && one < other);
    };
    std::vector<std::int64_t> best(std::min(keep, scores.size()));
    std::iota(best.begin(), best.end(), std::int64_t{0});
    if (best.empty()) {
        return best;
    }
    std::make_heap(best.begin(), best.end(), before);
    for (std::size_t place = best.size(); place < scores.size(); ++place) {
        if (ranks_before(scores[place], scores[static_cast<std::size_t>(best.front())])) {
            std::pop_heap(best.begin(), best.end(), before);
            best.back() = static_cast<std::int64_t>(place);
            std::push_heap(best.begin(), best.end(), before);
        }
    }
    std::sort_heap(best.begin(), best.end(), before);
    return best;
}

float length_divisor(std::int64_t length, double penalty) {
    return single(std::pow(static_cast<double>(length), penalty));
}

float numpy_sum(Span<const float> values) {
    const std::size_t count = values.size();
    if (count < 8) {
        return std::accumulate(values.begin(), values.end(), 0.0F);
    }
    if (count > 128) {
        const std::size_t half = count / 2 - count / 2 % 8;
        return numpy_sum(values.subspan(0, half)) + numpy_sum(values.subspan(half, count - half));
    }
    std::array<float, 8> sums{};
    std::size_t place = 0;
    for (; place + 8 <= count; place += 8) {
        for (std::size_t lane = 0; lane < 8; ++lane) {
            sums[lane] += values[place + lane];
        }
    }
    float total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (; place < count; ++place) {
        total += values[place];
    }
    return total;
}

}  // namespace s2t
