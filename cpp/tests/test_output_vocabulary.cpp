// The file of a restricted vocabulary, ids and columns, and searches that see some columns only.

#include "bundles/output_vocabulary.h"

#include "options/plan.h"
#include "search/whole_row_rules.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

std::string bytes_of(const std::vector<std::int32_t>& ids) {
    std::string bytes;
    for (const std::int32_t id : ids) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            bytes += static_cast<char>((static_cast<std::uint32_t>(id) >> shift) & 0xFFU);
        }
    }
    return bytes;
}

OutputVocabulary some() { return OutputVocabulary::parse(bytes_of({0, 1, 4, 9, 300, 70000}), "x", 6, 70001); }

std::string refused(const std::vector<std::int32_t>& ids, std::int64_t count) {
    return message_of<BundleError>([&] { OutputVocabulary::parse(bytes_of(ids), "x", count, 10); });
}

}  // namespace

TEST_SUITE("output_vocabulary") {
    TEST_CASE("ids and columns") {
        const OutputVocabulary all(7);
        CHECK(all.width() == 7);
        CHECK(all.id(5) == 5);
        CHECK(all.column(5) == std::optional<std::size_t>(5));
        CHECK(all.listed().empty());
        const OutputVocabulary vocabulary = some();
        CHECK(vocabulary.width() == 6);
        CHECK(vocabulary.vocab_size() == 70001);
        CHECK(vocabulary.listed() == std::vector<std::int64_t>{0, 1, 4, 9, 300, 70000});
        for (std::size_t column = 0; column < 6; ++column) {
            CHECK(vocabulary.column(vocabulary.id(column)) == std::optional(column));
        }
        CHECK_FALSE(vocabulary.column(2));
        CHECK_FALSE(vocabulary.column(70001));
    }

    TEST_CASE("other bytes are refused") {
        const std::string remedy = ": copy the bundle again or export again";
        CHECK(refused({1, 2}, 3) == "x has 8 bytes, wanted 12, 4 for each id" + remedy);
        CHECK(refused({}, 0) == "x has 0 bytes, wanted 4, 4 for each id" + remedy);
        CHECK(refused({1}, -1) == "x has 4 bytes, wanted 4, 4 for each id" + remedy);
        const std::string order = "x holds other numbers than token ids from 0 to 9 in rising order" + remedy;
        CHECK(refused({1, 10}, 2) == order);
        CHECK(refused({-1, 3}, 2) == order);
        CHECK(refused({3, 2}, 2) == order);
        CHECK(refused({2, 2}, 2) == order);
        CHECK(message_of<BundleError>([] { OutputVocabulary::parse("12345", "x", 1, 10); }) ==
              "x has 5 bytes, wanted 4, 4 for each id" + remedy);
        CHECK(message_of<BundleError>([] { OutputVocabulary::read("/no/such", 1, 10); }).substr(0, 28) ==
              "/no/such cannot be read (No ");
    }

    TEST_CASE("a prefix function is told what it may return") {
        SearchPlan plan;
        plan.vocabulary = some();
        plan.prefix_allowed_tokens_fn = [](std::size_t, Span<const std::int64_t>) { return TokenIds{4, 5}; };
        const TokenIds tokens{0};
        const std::vector<History> histories{tokens};
        std::vector<float> scores(6, 0.0F);
        CHECK(message_of<OptionError>([&] { constrain(plan, 1, histories, scores); }) ==
              "prefix_allowed_tokens_fn returned token 5 for utterance 1, which this bundle cannot write: it was "
              "exported with 6 of 70001 tokens; return those among Model::output_token_ids()");
    }

    TEST_CASE("rules of whole rows act on columns") {
        SearchPlan plan;
        plan.vocabulary = some();
        plan.sequence_bias = {{{9}, 1.0}, {{0, 300}, 2.0}};
        plan.eos_token_ids = {70000};
        plan.decay = ExponentialDecay{0, 2.0};
        const TokenIds tokens{0};
        std::vector<float> scores(6, -1.0F);
        SequenceBias(plan).apply(tokens, scores);
        decay(plan, 1, scores);
        CHECK(scores == std::vector<float>{-1.0F, -1.0F, -1.0F, 0.0F, 1.0F, 0.0F});
        plan.prefix_allowed_tokens_fn = [](std::size_t, Span<const std::int64_t>) { return TokenIds{300}; };
        const std::vector<History> histories{tokens};
        constrain(plan, 0, histories, scores);
        CHECK(scores[4] == 1.0F);
        CHECK(std::count(scores.begin(), scores.end(), -INFINITY) == 5);
    }
}
