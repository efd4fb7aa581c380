/// Numbers as numpy turns them from one type into another.
#pragma once

#include <cmath>
#include <limits>

namespace s2t {

/// A double as a float; what is too large becomes infinite.
inline float single(double value) {
    constexpr double most = std::numeric_limits<float>::max();
    if (std::fabs(value) > most) {
        return std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(std::copysign(1.0, value)));
    }
    return static_cast<float>(value);
}

}  // namespace s2t
