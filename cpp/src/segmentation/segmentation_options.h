/// How a recording is cut; the names, defaults and meanings of s2t_runtime/segmentation/options.py.
#pragma once

#include <cstdint>
#include <optional>

namespace s2t {

constexpr std::int64_t vad_frame = 512;           ///< samples that one probability stands for
constexpr std::int64_t vad_sampling_rate = 16000;  ///< of the samples that the detector hears

struct SegmentationOptions {
    double threshold = 0.5;                ///< speech begins where its probability reaches this
    std::optional<double> neg_threshold;   ///< it may end below this; unset: 0.15 below the threshold
    double min_speech_duration_ms = 250.0;
    double min_silence_duration_ms = 100.0;
    double speech_pad_ms = 30.0;   ///< on either side, at most half of the silence between two segments
    double max_segment_s = 20.0;   ///< what is longer is cut at the least likely frame
    double max_gap_s = 0.5;        ///< neighbours no farther apart are joined while they fit; 0: never

    /// Where speech may end.
    double falls_below() const;
};

/// Throws OptionError: a value is not finite, or out of its range.
void check_segmentation(const SegmentationOptions& options);

}  // namespace s2t
