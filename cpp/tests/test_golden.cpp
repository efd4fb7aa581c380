// The digits bundle against what eager PyTorch answers (golden.json), and against s2t_runtime (runtime.json).

#include "comparison.h"

using namespace s2t;
using namespace s2t::tests;

TEST_SUITE("golden") {
    TEST_CASE("tokens and scores are those of eager PyTorch") {
        const Json cases = vectors("golden.json");
        CHECK(cases.size() >= 40);
        for (const Json& item : cases) {
            CAPTURE(item["name"].get<std::string>());
            CAPTURE(item["options"].dump());
            const std::vector<Recording> recordings = golden_recordings(item["audio"]);
            const std::vector<Result> results = digits().generate_batch(samples_of(recordings), options_of(item));
            REQUIRE(results.size() == item["results"].size());
            for (std::size_t row = 0; row < results.size(); ++row) {
                CHECK(difference(results[row], item["results"][row]) == "");
            }
        }
    }

    TEST_CASE("an utterance of a batch gives what it gives alone") {
        for (const Json& item : vectors("golden.json")) {
            if (item["audio"].size() < 2) {
                continue;
            }
            CAPTURE(item["name"].get<std::string>());
            for (std::size_t row = 0; row < item["audio"].size(); ++row) {
                const Recording recording = golden_audio(item["audio"][row].get<std::string>());
                CHECK(difference(digits().generate(recording, options_of(item)), item["results"][row]) == "");
            }
        }
    }

    TEST_CASE("results, texts and errors are those of s2t_runtime") {
        CHECK(check_answers(digits(), vectors("runtime.json")) >= 50);
    }

    TEST_CASE("the comparison sees every part of a hypothesis") {
        const Json item = vectors("golden.json").front();
        const Result result = digits().generate(golden_audio(item["audio"][0].get<std::string>()), options_of(item));
        const Json wanted = item["results"][0];
        Result other = result;
        CHECK(difference(other, wanted) == "");
        other.hypotheses[0].score += 2e-4F;
        CHECK(difference(other, wanted) != "");
        other = result;
        other.hypotheses[0].score = std::nanf("");
        CHECK(difference(other, wanted) != "");
        other = result;
        other.hypotheses[0].log_probs.back() -= 2e-4F;
        CHECK(difference(other, wanted) != "");
        other = result;
        other.hypotheses[0].tokens.back() = 99;
        CHECK(difference(other, wanted) != "");
        other = result;
        other.hypotheses.push_back(other.hypotheses[0]);
        CHECK(difference(other, wanted) != "");
    }
}
