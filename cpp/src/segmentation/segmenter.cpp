#include "segmentation/segmenter.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace s2t {

namespace {

std::int64_t whole(double samples) { return static_cast<std::int64_t>(samples); }

const SegmentationOptions& checked(const SegmentationOptions& options) {
    check_segmentation(options);
    return options;
}

/// Frames of [0, frames) to cut at, rising, so that no part has more than `most`.
std::vector<std::size_t> cuts_of(Span<const float> probabilities, std::size_t frames, std::size_t most,
                                 std::size_t least) {
    std::vector<std::size_t> cuts;
    std::vector<std::pair<std::size_t, std::size_t>> todo{{0, frames}};
    while (!todo.empty()) {
        const auto [begin, end] = todo.back();
        todo.pop_back();
        if (end - begin > most) {
            const std::size_t margin = std::min(least, (end - begin - 1) / 2);
            const std::size_t cut = least_likely(probabilities, begin + margin, end - margin);
            cuts.push_back(cut);
            todo.emplace_back(begin, cut);
            todo.emplace_back(cut, end);
        }
    }
    std::sort(cuts.begin(), cuts.end());
    return cuts;
}

}  // namespace

Segmenter::Segmenter(const SegmentationOptions& options, std::int64_t longest)
    : options_(checked(options)),
      detector_(options, longest),
      pad_(whole(options.speech_pad_ms * vad_sampling_rate / 1000)),
      longest_(whole(options.max_segment_s * vad_sampling_rate)),
      gap_(whole(options.max_gap_s * vad_sampling_rate)) {}

std::optional<std::int64_t> Segmenter::needed_from() const {
    std::optional<std::int64_t> first;
    if (joined_) {
        first = start_;
    }
    if (const std::optional<std::int64_t> open = detector_.open_since()) {
        const std::int64_t start = std::max<std::int64_t>(*open * vad_frame - pad_, 0);
        first = first ? std::min(*first, start) : start;
    }
    return first;
}

std::vector<SampleSpan> Segmenter::feed(Span<const float> probabilities) {
    std::vector<SampleSpan> found;
    for (const Speech& speech : detector_.feed(probabilities)) {
        add(found, speech, speech.end * vad_frame);
    }
    return found;
}

std::vector<SampleSpan> Segmenter::finish(std::int64_t samples) {
    std::vector<SampleSpan> found;
    for (const Speech& speech : detector_.finish(samples)) {
        add(found, speech, samples);
    }
    if (joined_) {
        found.push_back({start_, std::min(joined_->end + pad_, samples)});
        joined_.reset();
    }
    return found;
}

/// Parts that are short enough with their padding; a cut lies in the middle of a frame.
void Segmenter::add(std::vector<SampleSpan>& found, const Speech& speech, std::int64_t end) {
    const std::int64_t most = (longest_ - 2 * pad_) / vad_frame - 1;  // with half a frame at either end
    const std::int64_t least = whole(options_.min_speech_duration_ms * vad_sampling_rate / 1000 / vad_frame);
    std::int64_t start = speech.first * vad_frame;
    const auto frames = static_cast<std::size_t>(speech.end - speech.first);
    for (const std::size_t cut : cuts_of(speech.probabilities, frames, static_cast<std::size_t>(most),
                                         static_cast<std::size_t>(std::max<std::int64_t>(least, 1)))) {
        const std::int64_t middle =
            (speech.first + static_cast<std::int64_t>(cut)) * vad_frame + vad_frame / 2;
        add_part(found, {start, middle});
        start = middle;
    }
    add_part(found, {start, end});
}

void Segmenter::add_part(std::vector<SampleSpan>& found, const SampleSpan& part) {
    if (!joined_) {
        joined_ = part;
        start_ = std::max<std::int64_t>(part.start - pad_, 0);
        return;
    }
    const std::int64_t silence = part.start - joined_->end;
    if (silence <= gap_ && gap_ > 0 && part.end + pad_ - start_ <= longest_) {
        joined_->end = part.end;
        return;
    }
    const std::int64_t pad = silence >= 2 * pad_ ? pad_ : silence / 2;
    found.push_back({start_, joined_->end + pad});
    joined_ = part;
    start_ = std::max<std::int64_t>(part.start - pad, 0);
}

}  // namespace s2t
