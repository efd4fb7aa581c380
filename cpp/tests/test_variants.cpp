// Bundles of other precisions and with a restricted vocabulary, against s2t_runtime and eager PyTorch (variants.json).

#include "comparison.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

/// Decode the cases of each variant whose name begins so; returns how many were refused.
std::size_t check_variants(const std::string& beginning, std::size_t variants) {
    std::size_t refused = 0;
    std::size_t found = 0;
    for (const Json& variant : vectors("variants.json")) {
        const auto name = variant["name"].get<std::string>();
        if (name.compare(0, beginning.size(), beginning) != 0) {
            continue;
        }
        ++found;
        CAPTURE(name);
        LoadOptions options = one_thread();
        options.precision = variant["precision"].get<std::string>();
        refused += check_answers(Model::load(variant["bundle"].get<std::string>(), options), variant["cases"]);
    }
    CHECK(found == variants);
    return refused;
}

}  // namespace

TEST_SUITE("variants") {
    TEST_CASE("fp16 gives the results of s2t_runtime") { check_variants("fp16", 1); }

    TEST_CASE("int8 gives the results of s2t_runtime") { check_variants("int8", 1); }

    TEST_CASE("a directory of links gives the results of s2t_runtime, wherever the links lead") {
        check_variants("links", 9);
    }

    TEST_CASE("a restricted vocabulary gives the results and errors of s2t_runtime, and the results of eager PyTorch") {
        CHECK(check_variants("restricted", 2) >= 10);
    }

    TEST_CASE("lengths that a bundle stores give way as in s2t_runtime") { CHECK(check_variants("lengths", 5) >= 10); }

    TEST_CASE("padding in front gives the results of eager PyTorch, whether forced tokens join it or not") {
        check_variants("beginnings", 2);
    }

    TEST_CASE("a model says which tokens it can write") {
        CHECK(digits().output_token_ids().empty());
        const Model model = Model::load(vector_path("bundles/restricted"), one_thread());
        const std::vector<std::int64_t>& ids = model.output_token_ids();
        CHECK(ids.size() > 200);
        CHECK(std::is_sorted(ids.begin(), ids.end()));
        CHECK_FALSE(std::binary_search(ids.begin(), ids.end(), 99));
        const Result result = model.generate(golden_audio("carried_0_1"));
        for (const std::int64_t token : result.tokens) {
            CHECK(std::binary_search(ids.begin(), ids.end(), token));
        }
    }
}

// Not in ctest: make soak writes bundles and cases of its own.
TEST_SUITE("soak") {
    TEST_CASE("every variant gives the results and errors of s2t_runtime" * doctest::skip()) {
        const std::size_t variants = vectors("variants.json").size();
        REQUIRE(variants >= 1);
        check_variants("", variants);
    }
}
