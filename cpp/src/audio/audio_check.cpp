#include "audio/audio_check.h"

#include <algorithm>
#include <cmath>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

void check_finite(Span<const float> audio) {
    const auto finite = [](float sample) { return std::isfinite(sample); };
    const float* const first = std::find_if_not(audio.begin(), audio.end(), finite);
    if (first != audio.end()) {
        const auto count =
            static_cast<std::ptrdiff_t>(audio.size()) - std::count_if(audio.begin(), audio.end(), finite);
        throw AudioError(say("audio.not_finite", {{"count", std::to_string(count)},
                                                  {"samples", std::to_string(audio.size())},
                                                  {"first", std::to_string(first - audio.begin())}}));
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
    check_finite(audio);
}

}  // namespace s2t
