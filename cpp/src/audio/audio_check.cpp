#include "audio/audio_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

/// Far below where the encoder's sums of squares leave single precision; above any 32-bit integers.
constexpr float most_amplitude = 1e10F;

std::string exponent(float value) {
    std::array<char, 32> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), "%.1e", static_cast<double>(value));
    return {buffer.data(), static_cast<std::size_t>(length)};
}

}  // namespace

void check_samples(Span<const float> audio) {
    const auto finite = [](float sample) { return std::isfinite(sample); };
    const float* const first = std::find_if_not(audio.begin(), audio.end(), finite);
    if (first != audio.end()) {
        const auto count =
            static_cast<std::ptrdiff_t>(audio.size()) - std::count_if(audio.begin(), audio.end(), finite);
        throw AudioError(say("audio.not_finite", {{"count", std::to_string(count)},
                                                  {"samples", std::to_string(audio.size())},
                                                  {"first", std::to_string(first - audio.begin())}}));
    }
    float peak = 0.0F;
    for (const float sample : audio) {
        peak = std::max(peak, std::fabs(sample));
    }
    if (peak > most_amplitude) {
        throw AudioError(say("audio.loud", {{"peak", exponent(peak)}}));
    }
}

void check_audio(Span<const float> audio, const AudioInfo& info) {
    const auto count = static_cast<std::int64_t>(audio.size());
    const auto rate = static_cast<double>(info.sampling_rate);
    const auto milliseconds = [&](std::int64_t samples) {
        return fixed(1000.0 * static_cast<double>(samples) / rate, 1);
    };
    const auto seconds = [&](std::int64_t samples) { return fixed(static_cast<double>(samples) / rate, 2); };
    const std::string least = std::to_string(info.min_samples) + " samples (" + milliseconds(info.min_samples) + " ms)";
    if (count == 0) {
        throw AudioError(say("audio.empty", {{"least", least}}));
    }
    if (count < info.min_samples) {
        throw AudioError(
            say("audio.short",
                {{"samples", std::to_string(count)}, {"milliseconds", milliseconds(count)}, {"least", least}}));
    }
    if (count > info.max_samples) {
        throw AudioError(say("audio.long", {{"seconds", seconds(count)},
                                            {"samples", std::to_string(count)},
                                            {"most_seconds", seconds(info.max_samples)},
                                            {"most", std::to_string(info.max_samples)}}));
    }
    check_samples(audio);
}

}  // namespace s2t
