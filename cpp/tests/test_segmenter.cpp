// Segments of random tracks: those of s2t_runtime, to the sample (segments.json).

#include <algorithm>

#include "comparison.h"
#include "segmentation/segmenter.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

SegmentationOptions options_from(const Json& given) {
    SegmentationOptions options;
    const auto read = [&](const char* name, double& value) { value = given.value(name, value); };
    read("threshold", options.threshold);
    read("min_speech_duration_ms", options.min_speech_duration_ms);
    read("min_silence_duration_ms", options.min_silence_duration_ms);
    read("speech_pad_ms", options.speech_pad_ms);
    read("max_segment_s", options.max_segment_s);
    read("max_gap_s", options.max_gap_s);
    if (given.contains("neg_threshold")) {
        options.neg_threshold = given["neg_threshold"].get<double>();
    }
    return options;
}

void append(std::vector<std::vector<std::int64_t>>& all, const std::vector<SampleSpan>& spans) {
    for (const SampleSpan& span : spans) {
        all.push_back({span.start, span.end});
    }
}

}  // namespace

TEST_SUITE("segmenter") {
    TEST_CASE("segments are those of s2t_runtime, however the track is cut into pieces") {
        const Json cases = vectors("segments.json");
        std::size_t compared = 0;
        for (const Json& item : cases) {
            CAPTURE(item["options"].dump());
            const auto track = item["probabilities"].get<std::vector<float>>();
            const auto wanted = item["segments"].get<std::vector<std::vector<std::int64_t>>>();
            for (const std::size_t piece : {track.size(), std::size_t{1}, std::size_t{13}}) {
                Segmenter segmenter(options_from(item["options"]), item["longest"].get<std::int64_t>());
                std::vector<std::vector<std::int64_t>> got;
                for (std::size_t start = 0; start < track.size(); start += piece) {
                    const std::size_t count = std::min(piece, track.size() - start);
                    append(got, segmenter.feed({track.data() + start, count}));
                    const std::optional<std::int64_t> needed = segmenter.needed_from();
                    CHECK((got.empty() || !needed || *needed >= got.back()[1]));
                }
                append(got, segmenter.finish(item["samples"].get<std::int64_t>()));
                CHECK(got == wanted);
            }
            compared += wanted.size();
        }
        CHECK(compared > 500);
    }

    TEST_CASE("impossible options are refused as s2t_runtime refuses them") {
        const Json refused = document(vector_path("segments.json"))["refused"];
        CHECK(refused.size() >= 6);
        for (const Json& item : refused) {
            CHECK(message_of<OptionError>([&] { Segmenter{options_from(item["options"])}; }) ==
                  item["error"].get<std::string>());
        }
    }
}
