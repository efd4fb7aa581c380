/// From probabilities to segments. The twin of s2t_runtime/segmentation/segmenter.py, which names the sources.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "s2t/span.h"
#include "segmentation/segmentation_options.h"
#include "segmentation/speech.h"

namespace s2t {

/// Samples [start, end) of the recording that the detector heard, at 16 kHz.
struct SampleSpan {
    std::int64_t start;
    std::int64_t end;
};

/// Cuts a recording whose probabilities come piece by piece; each segment is given as soon as nothing can change it.
class Segmenter {
public:
    /// Throws OptionError: an impossible option. `longest` is the SpeechDetector's.
    explicit Segmenter(const SegmentationOptions& options, std::int64_t longest = 32'768);

    /// The first sample that a later segment may hold; unset: what comes next.
    std::optional<std::int64_t> needed_from() const;

    /// Segments that the next piece of the track completes.
    std::vector<SampleSpan> feed(Span<const float> probabilities);

    /// The rest, of a recording of so many samples.
    std::vector<SampleSpan> finish(std::int64_t samples);

private:
    void add(std::vector<SampleSpan>& found, const Speech& speech, std::int64_t end);
    void add_part(std::vector<SampleSpan>& found, const SampleSpan& part);

    SegmentationOptions options_;
    SpeechDetector detector_;
    std::int64_t pad_;
    std::int64_t longest_;
    std::int64_t gap_;
    std::optional<SampleSpan> joined_;  // the next speech may still join it, or share the silence behind it
    std::int64_t start_ = 0;            // where it begins with its padding
};

}  // namespace s2t
