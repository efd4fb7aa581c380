// Texts of random tokens (texts.json) and of real tokenizers (tokenizers.json), and what a manifest and a vocabulary
// may hold.

#include <map>

#include "bundles/manifest.h"
#include "text/detokenizer.h"
#include "text/vocabulary.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

std::string from_hexadecimal(const std::string& text) {
    std::string bytes;
    for (std::size_t place = 0; place < text.size(); place += 2) {
        bytes += static_cast<char>(static_cast<unsigned char>(std::stoi(text.substr(place, 2), nullptr, 16)));
    }
    return bytes;
}

}  // namespace

TEST_SUITE("files") {
    TEST_CASE("every joining rule gives the text of s2t_runtime") {
        std::map<std::string, int> seen;
        for (const Json& item : vectors("texts.json")) {
            std::vector<std::string> tokens;
            for (const Json& token : item["tokens"]) {
                tokens.push_back(from_hexadecimal(token.get<std::string>()));
            }
            const Detokenizer detokenizer = parse_detokenizer(item["detokenizer"]);
            ++seen[detokenizer.kind];
            for (const JoiningStep& step : detokenizer.steps) {
                ++seen[step.step];
            }
            CAPTURE(item.dump());
            CHECK(join_tokens({tokens.begin(), tokens.end()}, detokenizer) == item["text"].get<std::string>());
        }
        CHECK(seen.size() == 11);  // four kinds and ten steps, three of which have the name of a kind
    }

    TEST_CASE("every kind of tokenizer gives the text that it gives in transformers") {
        const Json cases = vectors("tokenizers.json");
        CHECK(cases.size() >= 30);
        for (const Json& item : cases) {
            CAPTURE(item["name"].get<std::string>());
            const Vocabulary vocabulary = Vocabulary::read(vector_path(item["vocabulary"].get<std::string>()));
            const Detokenizer detokenizer = parse_detokenizer(item["detokenizer"]);
            for (const Json& text : item["texts"]) {
                const auto ids = text["ids"].get<std::vector<std::int64_t>>();
                CAPTURE(python_ids(ids));
                CHECK(join_tokens(vocabulary.texts(ids), detokenizer) == text["text"].get<std::string>());
            }
        }
    }

    TEST_CASE("a manifest of format 1 is read") {
        const Bundle bundle = Bundle::open(bundle_path(), LoadOptions::Verify::fast);
        Json document = tests::document(bundle.root() + "/manifest.json");
        document["format_version"] = 1;
        document["unknown"] = 3;
        document["graphs"]["fp32"]["notes"] = Json::array({"anything"});
        document["graphs"]["fp32"]["encoder"]["inputs"][0]["unit"] = "volt";
        document["detokenizer"].erase("steps");
        document["detokenizer"].erase("cleanup");
        const Manifest manifest = parse_manifest(document.dump());
        CHECK(manifest.detokenizer->steps.empty());
        CHECK_FALSE(manifest.detokenizer->cleanup);
        CHECK(manifest.decoder.vocab_size == bundle.manifest().decoder.vocab_size);
        CHECK(manifest.files.size() == bundle.manifest().files.size());
    }

    TEST_CASE("a manifest of format 3 is read") {
        const Bundle bundle = Bundle::open(vector_path("bundles/restricted"), LoadOptions::Verify::fast);
        const DecoderInfo& decoder = bundle.manifest().decoder;
        REQUIRE(decoder.output_vocabulary);
        CHECK(decoder.output_vocabulary->path == "output_vocabulary.bin");
        CHECK(decoder.vocab_size == 400);
        CHECK(decoder.written_tokens() == decoder.output_vocabulary->count);
        CHECK(bundle.output_vocabulary().width() == static_cast<std::size_t>(decoder.written_tokens()));
        Json document = tests::document(bundle.root() + "/manifest.json");
        CHECK(document["format_version"] == 3);
        document["decoder"]["output_vocabulary"] = nullptr;
        CHECK_FALSE(parse_manifest(document.dump()).decoder.output_vocabulary);
    }

    TEST_CASE("a precision says what it is made of") {
        const Bundle bundle = Bundle::open(bundle_path(), LoadOptions::Verify::fast);
        CHECK(bundle.precision("fp32").base.empty());
        CHECK(bundle.precision("fp16").base == "float16");
        CHECK(bundle.precision("int8").base == "int8");
    }

    TEST_CASE("special, absent and foreign ids are left out") {
        std::string bytes("S2TV\1\0\0\0\3\0\0\0", 12);
        for (const char offset : {'\0', '\1', '\2', '\4'}) {
            bytes += std::string(1, offset) + std::string(7, '\0');
        }
        bytes += std::string("\2\1\4", 3) + "abcd";
        const Vocabulary vocabulary = Vocabulary::parse(bytes, "x");
        CHECK(vocabulary.size() == 3);
        const std::vector<std::int64_t> ids{-1, 0, 1, 2, 3, 0};
        CHECK(vocabulary.texts(ids) == std::vector<std::string_view>{"a", "a"});
    }
}
