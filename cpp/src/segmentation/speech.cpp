#include "segmentation/speech.h"

#include <algorithm>
#include <cstdlib>

namespace s2t {

std::size_t least_likely(Span<const float> probabilities, std::size_t begin, std::size_t end) {
    const auto distance = [&](std::size_t place) {
        return std::llabs(2 * static_cast<long long>(place) + 1 - static_cast<long long>(begin + end));
    };
    std::size_t best = begin;
    for (std::size_t place = begin + 1; place < end; ++place) {
        const bool less = probabilities[place] < probabilities[best];
        if (less || (probabilities[place] == probabilities[best] && distance(place) < distance(best))) {
            best = place;
        }
    }
    return best;
}

SpeechDetector::SpeechDetector(const SegmentationOptions& options, std::int64_t longest)
    : options_(options),
      longest_(longest),
      silence_(options.min_silence_duration_ms * vad_sampling_rate / 1000),
      least_(options.min_speech_duration_ms * vad_sampling_rate / 1000) {}

std::vector<Speech> SpeechDetector::feed(Span<const float> probabilities) {
    std::vector<Speech> found;
    for (std::size_t place = 0; place < probabilities.size(); ++place, ++frames_) {
        const double probability = probabilities[place];
        if (!first_) {
            if (probability >= options_.threshold) {
                first_ = frames_;
                falls_.reset();
                held_.assign(1, probabilities[place]);
            }
            continue;
        }
        held_.push_back(probabilities[place]);
        if (probability >= options_.threshold) {
            falls_.reset();
        } else if (probability < options_.falls_below()) {
            falls_ = falls_.value_or(frames_);
            if (static_cast<double>((frames_ - *falls_) * vad_frame) >= silence_) {
                end_at(found, *falls_, *falls_ * vad_frame);
                first_.reset();
                held_.clear();
            }
        }
        if (first_ && frames_ + 1 - *first_ >= longest_) {
            const std::size_t cut = least_likely(held_, held_.size() / 2, held_.size() - 1);
            const std::int64_t end = *first_ + static_cast<std::int64_t>(cut);
            end_at(found, end, end * vad_frame);
            held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(cut));
            first_ = end;
        }
    }
    return found;
}

std::vector<Speech> SpeechDetector::finish(std::int64_t samples) {
    std::vector<Speech> found;
    if (first_) {
        end_at(found, frames_, samples);
        first_.reset();
        held_.clear();
    }
    return found;
}

void SpeechDetector::end_at(std::vector<Speech>& found, std::int64_t end, std::int64_t end_sample) {
    if (static_cast<double>(end_sample - *first_ * vad_frame) > least_) {
        found.push_back({*first_, end, {held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(end - *first_)}});
    }
}

}  // namespace s2t
