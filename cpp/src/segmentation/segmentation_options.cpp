#include "segmentation/segmentation_options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

/// As Python's format code g.
std::string general(double value) {
    std::array<char, 32> text{};
    const int length = std::snprintf(text.data(), text.size(), "%g", value);
    return {text.data(), static_cast<std::size_t>(length)};
}

void require(const char* name, double value, double least, double most) {
    if (!std::isfinite(value) || value < least || value > most) {
        throw OptionError(say("segmentation.number", {{"name", name},
                                                      {"value", python_repr(value)},
                                                      {"least", general(least)},
                                                      {"most", general(most)}}));
    }
}

}  // namespace

double SegmentationOptions::falls_below() const {
    return neg_threshold ? *neg_threshold : std::max(threshold - 0.15, 0.01);
}

void check_segmentation(const SegmentationOptions& options) {
    require("threshold", options.threshold, 0.0, 1.0);
    if (options.neg_threshold) {
        require("neg_threshold", *options.neg_threshold, 0.0, options.threshold);
    }
    require("min_speech_duration_ms", options.min_speech_duration_ms, 0.0, 60'000.0);
    require("min_silence_duration_ms", options.min_silence_duration_ms, 0.0, 60'000.0);
    require("speech_pad_ms", options.speech_pad_ms, 0.0, 60'000.0);
    require("max_gap_s", options.max_gap_s, 0.0, 3600.0);
    // One frame to cut at between two, and the padding of both ends.
    const double frame_ms = 1000.0 * vad_frame / vad_sampling_rate;
    require("max_segment_s", options.max_segment_s, (4 * frame_ms + 2 * options.speech_pad_ms) / 1000, 3600.0);
}

}  // namespace s2t
