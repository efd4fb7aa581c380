// One model in many hands: threads, batches, stopping, streaming.

#include <future>

#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

const char* const spoken = "carried_0_1";

GenerateOptions five_beams() {
    GenerateOptions options;
    options.num_beams = 5;
    options.num_return_sequences = 3;
    options.max_new_tokens = 20;
    options.language = "de";
    return options;
}

bool same(const Result& one, const Result& other) {
    return one.tokens == other.tokens && one.score == other.score && one.text == other.text;
}

}  // namespace

TEST_SUITE("model") {
    TEST_CASE("eight threads share one model") {
        const Recording recording = golden_audio(spoken);
        std::vector<Result> alone;
        for (int turn = 0; turn < 8; ++turn) {
            GenerateOptions options = five_beams();
            options.num_beams = 3 + turn % 3;
            alone.push_back(digits().generate(recording, options));
        }
        std::vector<std::future<bool>> answers;
        for (int turn = 0; turn < 16; ++turn) {
            answers.push_back(std::async(std::launch::async, [&, turn] {
                GenerateOptions options = five_beams();
                options.num_beams = 3 + turn % 3;
                return same(digits().generate(recording, options), alone[static_cast<std::size_t>(turn % 3)]);
            }));
        }
        for (std::future<bool>& answer : answers) {
            CHECK(answer.get());
        }
    }

    TEST_CASE("a batch of none is none") { CHECK(digits().generate_batch({}).empty()); }

    TEST_CASE("a model may be moved, and another one loaded beside it") {
        Model model = Model::load(bundle_path() + "/", one_thread());
        const Model moved = std::move(model);
        const Recording recording = golden_audio(spoken);
        CHECK(same(moved.generate(recording, five_beams()), digits().generate(recording, five_beams())));
        CHECK(moved.sampling_rate() == 16000);
        CHECK(moved.languages().at("de") == 4);
    }

    TEST_CASE("a result says language, times and length") {
        const Recording recording = golden_audio(spoken);
        const Result result = digits().generate(recording, five_beams());
        CHECK(result.language == std::optional<std::string>("de"));
        CHECK(result.audio_s == static_cast<double>(recording.samples.size()) / 16000);
        const Timings& times = result.timings_s;
        CHECK(times.encoder > 0);
        CHECK(times.first_step > 0);
        CHECK(times.decode > 0);
        CHECK(times.total >= times.encoder + times.first_step + times.decode);
        CHECK(result.hypotheses.size() == 3);
        CHECK(result.hypotheses[0].tokens == result.tokens);
        CHECK_FALSE(result.stopped);
    }

    TEST_CASE("stopping returns what is there") {
        const Recording recording = golden_audio(spoken);
        for (const std::int64_t width : {1, 5}) {
            GenerateOptions options = five_beams();
            options.num_beams = width;
            options.num_return_sequences = 1;
            options.suppress_tokens = TokenIds{2};  // without an end there is something to stop
            options.forced_eos_token_id = TokenIds{};
            options.early_stopping = EarlyStopping::heuristic;
            int asked = 0;
            options.stop = [&] { return ++asked >= 3; };
            const Result stopped = digits().generate(recording, options);
            CHECK(stopped.stopped);
            options.stop = nullptr;
            options.max_new_tokens = 3;
            const Result limited = digits().generate(recording, options);
            CHECK(stopped.tokens == limited.tokens);
            CHECK(stopped.score == limited.score);
        }
    }

    TEST_CASE("tokens are heard as they come, and the last is the result") {
        const std::vector<Recording> recordings{golden_audio(spoken), golden_audio("carried_0_2")};
        for (const std::int64_t width : {1, 4}) {
            GenerateOptions options = five_beams();
            options.num_beams = width;
            options.num_return_sequences = 1;
            std::vector<std::vector<TokenEvent>> heard(2);
            options.on_token = [&](const TokenEvent& event) { heard.at(event.utterance).push_back(event); };
            const std::vector<Result> results = digits().generate_batch(samples_of(recordings), options);
            for (std::size_t utterance = 0; utterance < 2; ++utterance) {
                const std::vector<TokenEvent>& events = heard[utterance];
                CHECK(events.size() > 3);
                CHECK(events.back().tokens == results[utterance].tokens);
                CHECK(events.back().text == results[utterance].text);
                CHECK(std::count_if(events.begin(), events.end(),
                                    [](const TokenEvent& event) { return event.final; }) == 1);
                CHECK(events.back().final);
            }
        }
    }

    TEST_CASE("what a callback throws comes out, and the model goes on") {
        const Recording recording = golden_audio(spoken);
        GenerateOptions options = five_beams();
        options.on_token = [](const TokenEvent&) { throw std::runtime_error("enough"); };
        CHECK_THROWS_WITH_AS(digits().generate(recording, options), "enough", std::runtime_error);
        CHECK_NOTHROW(digits().generate(recording, five_beams()));
    }

    TEST_CASE("a prefix function says which tokens may follow") {
        const Recording recording = golden_audio(spoken);
        const TokenIds wanted{2, 9, 95, 396, 2};
        for (const std::int64_t width : {1, 3}) {
            GenerateOptions options;
            options.num_beams = width;
            options.max_new_tokens = 8;
            options.prefix_allowed_tokens_fn = [&](std::size_t utterance, Span<const std::int64_t> tokens) {
                CHECK(utterance == 0);
                return TokenIds{wanted[std::min(tokens.size(), wanted.size() - 1)]};
            };
            CHECK(digits().generate(recording, options).tokens == wanted);
        }
    }
}
