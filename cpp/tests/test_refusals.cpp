// Bundles that are missing or altered, options and audio that cannot be: the sentences are those of s2t_runtime.

#include "comparison.h"
#include "messages/sentences.h"
#include "options/values.h"
#include "sessions/session.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

LoadOptions load_options(const Json& values) {
    LoadOptions options = one_thread();
    options.precision = values.value("precision", "");
    options.provider = values.value("provider", "cpu");
    if (values.contains("threads")) {
        options.threads = values["threads"].get<int>();
    }
    return options;
}

std::string refusal(const Json& item) {
    return message_of<Error>([&] {
        const Model model = Model::load(item["path"].get<std::string>(), load_options(item["load"]));
        REQUIRE_MESSAGE(!item["options"].is_null(), "the bundle was loaded");
        std::vector<float> audio(item["audio"]["samples"].get<std::size_t>(), 0.0F);
        for (const Json& place : item["audio"].value("not_finite", Json::array())) {
            audio[place.get<std::size_t>()] = std::nanf("");
        }
        if (item["audio"].contains("loud")) {
            audio[0] = item["audio"]["loud"].get<float>();
        }
        model.generate(Span<const float>(audio), options_from_values(item["options"]));
    });
}

}  // namespace

TEST_SUITE("refusals") {
    TEST_CASE("what is wrong with a bundle is said as s2t_runtime says it") {
        const Json cases = vectors("refusals.json");
        CHECK(cases.size() >= 60);
        for (const Json& item : cases) {
            CAPTURE(item["name"].get<std::string>());
            const std::string wanted = as_of_this_library(item["message"].get<std::string>());
            const std::string got = refusal(item);
            if (!item["foreign"].get<bool>()) {
                CHECK(got == wanted);
                continue;
            }
            // Words of a library stand in brackets or behind the first colon; ours stand before and after them.
            const std::size_t brackets = wanted.find('(');
            const std::size_t before = brackets == std::string::npos ? wanted.find(": ") : brackets;
            const std::string after = brackets == std::string::npos ? "" : wanted.substr(wanted.rfind("): "));
            CHECK(got.substr(0, before) == wanted.substr(0, before));
            CHECK(got.size() >= after.size());
            CHECK(got.substr(got.size() - std::min(got.size(), after.size())) == after);
        }
    }

    TEST_CASE("a change that fast verification does not see, full does") {
        // Only files of 64 MiB and more are left out, and the digits bundle has none: both see everything here.
        for (const auto verify : {LoadOptions::Verify::fast, LoadOptions::Verify::full}) {
            CHECK_NOTHROW(Bundle::open(bundle_path(), verify));
            const std::string changed = vector_path("bundles/a changed file");
            CHECK(message_of<BundleError>([&] { Bundle::open(changed, verify); }).find("tokenizer.json has sha256 ") !=
                  std::string::npos);
        }
    }

    TEST_CASE("a bundle without a joining rule") {
        const std::string path = vector_path("bundles/no detokenizer");
        CHECK(message_of<BundleError>([&] { Model::load(path, one_thread()); }) ==
              "the bundle " + path +
                  " has no detokenizer in its manifest, wanted a joining rule for vocabulary.bin: only "
                  "tokenizer.json gives its text, which needs s2t_runtime");
    }

    TEST_CASE("a manifest that does not fit its graphs") {
        const Recording recording = golden_audio("carried_0_1");
        GenerateOptions options;
        options.renormalize_logits = true;  // needs whole rows
        options.forced_eos_token_id = TokenIds{};
        options.num_beams = 1;
        const Model larger = Model::load(vector_path("bundles/500 tokens"), one_thread());
        CHECK(message_of<SessionError>([&] { larger.generate(recording, options); }) ==
              "the decoder gave 400 values of logits, wanted 500: its manifest does not fit its graphs; export again");
        const Model smaller = Model::load(vector_path("bundles/300 tokens"), one_thread());
        options.renormalize_logits = false;
        options.num_beams = 160;  // more candidates than the vocabulary is said to have
        CHECK(message_of<SessionError>([&] { smaller.generate(recording, options); }) ==
              "the decoder gave token ids beyond the vocabulary of 300 tokens: its manifest does not fit its graphs; "
              "export again");
    }

    TEST_CASE("sampling is refused by name") {
        GenerateOptions options;
        options.do_sample = true;
        CHECK(message_of<OptionError>([&] { digits().check(options); }) ==
              "do_sample True is not supported: this library takes the best tokens and draws none; leave it out, or "
              "decode "
              "with s2t_runtime");
    }

    TEST_CASE("an ONNX Runtime without this interface") {
        CHECK(message_of<SessionError>([] { check_runtime(false, "1.9.0"); }) ==
              "this ONNX Runtime is version 1.9.0, wanted one with API version " + std::to_string(ORT_API_VERSION) +
                  " or later: install a newer ONNX Runtime");
        CHECK_NOTHROW(check_runtime(true, "1.9.0"));
    }

    TEST_CASE("threads spin for a moment where ONNX Runtime can limit it") {
        for (const char* const version : {"1.26.0", "1.32.0", "2.0.0", "1.100.1", "10.0"}) {
            CHECK_MESSAGE(spins_briefly(version), version);
        }
        for (const char* const version : {"1.25.1", "1.21.0", "0.30.0", "1.9.0"}) {
            CHECK_MESSAGE(!spins_briefly(version), version);
        }
    }

    TEST_CASE("rows outside the cache") {
        const Bundle bundle = Bundle::open(bundle_path(), LoadOptions::Verify::fast);
        const OnnxSession session(bundle, "fp32", "cpu", 1);
        const std::vector<float> audio(8000, 0.1F);
        const Span<const float> view(audio);
        const Encoded encoded = session.encode({&view, 1}, false);
        DecoderState state = session.start(encoded);
        const std::vector<std::int64_t> token{2};
        const std::vector<std::int64_t> row{1};
        CHECK(message_of<SessionError>([&] { state({1, 1}, token, row, 1, false); }) ==
              "beam_index runs from 1 to 1, but the cache has 1 rows");
    }

    TEST_CASE("a sentence that the table lacks is a bug") {
        CHECK_THROWS_AS(say("no.such"), std::logic_error);
        CHECK(say("bundle.damaged.missing", {{"path", "{path}"}}) == "{path} is missing");
    }
}
