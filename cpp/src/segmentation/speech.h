/// Where speech is: hysteresis over a track of probabilities, as it comes. The twin of segmentation/speech.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "s2t/span.h"
#include "segmentation/segmentation_options.h"

namespace s2t {

/// Frames [first, end) with speech in them, and their probabilities.
struct Speech {
    std::int64_t first;
    std::int64_t end;
    std::vector<float> probabilities;
};

/// The frame of [begin, end) with the smallest probability; of equals that nearest to the middle, then the first.
std::size_t least_likely(Span<const float> probabilities, std::size_t begin, std::size_t end);

/// Finds speech in a track that is given piece by piece, with the rules of Silero's get_speech_timestamps.
///
/// Speech that does not end for `longest` frames is cut where it is least likely, so that no recording has to be held
/// whole. How the track is cut into pieces changes nothing.
class SpeechDetector {
public:
    explicit SpeechDetector(const SegmentationOptions& options, std::int64_t longest = 32'768);

    /// The first frame of speech that has not ended.
    std::optional<std::int64_t> open_since() const { return first_; }

    /// Speech that ends within the next piece of the track.
    std::vector<Speech> feed(Span<const float> probabilities);

    /// Speech that goes on to the end of a recording of so many samples.
    std::vector<Speech> finish(std::int64_t samples);

private:
    void end_at(std::vector<Speech>& found, std::int64_t end, std::int64_t end_sample);

    SegmentationOptions options_;
    std::int64_t longest_;
    double silence_;  // samples
    double least_;    // samples
    std::int64_t frames_ = 0;
    std::optional<std::int64_t> first_;
    std::optional<std::int64_t> falls_;
    std::vector<float> held_;  // probabilities from first_ on
};

}  // namespace s2t
