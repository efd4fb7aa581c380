// Tokens that are forced: fed with what comes behind them, or never.

#include "scripted_step.h"
#include "search/deferred_step.h"
#include "search/search.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

using Numbers = std::vector<std::int64_t>;

const Numbers prompts{0, 4, 0, 4};  // two utterances
const Numbers own{0, 1};
const Numbers each{0, 0, 0, 1, 1, 1};

struct Call {
    Numbers tokens;
    Numbers beam_index;
};

void check_same(const Candidates& found, const Candidates& wanted) {
    CHECK(Numbers(found.ids.begin(), found.ids.end()) == Numbers(wanted.ids.begin(), wanted.ids.end()));
    const auto values = [](Floats row) { return std::vector<float>(row.begin(), row.end()); };
    CHECK(values(found.log_probs) == values(wanted.log_probs));
    CHECK(values(found.logits) == values(wanted.logits));
}

/// Both ways through the same calls; returns how many tokens a row was fed at each step.
std::vector<std::size_t> compare(const std::vector<Call>& calls, bool with_logits, bool joins = true) {
    ScriptedStep plain(mixed);
    ScriptedStep step(mixed);
    DeferredStep deferred(step, joins);
    plain({2, 1}, prompts, own, 1, false);
    deferred.defer({2, 1}, prompts, own);
    for (const Call& call : calls) {
        const RowShape shape{2, call.tokens.size() / 2};
        check_same(deferred(shape, call.tokens, call.beam_index, 4, with_logits),
                   plain(shape, call.tokens, call.beam_index, 4, with_logits));
    }
    return step.fed;
}

}  // namespace

TEST_SUITE("deferred_step") {
    TEST_CASE("one call for all beams, and the later ones continue its rows") {
        const Numbers crossed{2, 0, 1, 5, 5, 3};
        for (const bool with_logits : {false, true}) {
            CHECK(compare({{Numbers(6, 6), each}, {{2, 3, 4, 5, 6, 7}, crossed}, {{7, 6, 5, 4, 3, 2}, crossed}},
                          with_logits) == std::vector<std::size_t>{3, 1, 1});
        }
    }

    TEST_CASE("beams that differ are fed one by one") {
        CHECK(compare({{{6, 6, 5, 6, 6, 6}, each}, {{2, 3, 4, 5, 6, 7}, {2, 0, 1, 5, 5, 3}}}, true) ==
              std::vector<std::size_t>{2, 1, 1});
    }

    TEST_CASE("nothing is joined where the decoder would see it elsewhere") {
        CHECK(compare({{Numbers(6, 6), each}, {{2, 3, 4, 5, 6, 7}, {2, 0, 1, 5, 5, 3}}}, true, false) ==
              std::vector<std::size_t>{2, 1, 1});
    }

    TEST_CASE("a plan joins what no measured token forbids") {
        PlanContext context;
        context.defaults.decoder_start_token_id = 1;
        context.vocabulary = OutputVocabulary(vocabulary);
        CHECK(plan_search(context, {}).joins_prompt);
        context.alone_ids = TokenIds{1, 5};
        CHECK(!plan_search(context, {}).joins_prompt);
        GenerateOptions options;
        options.decoder_start_token_id = 2;
        CHECK(plan_search(context, options).joins_prompt);
        context.alone_ids.reset();
        CHECK(!plan_search(context, options).joins_prompt);
    }

    TEST_CASE("what waits is fed before more may wait") {
        ScriptedStep step(mixed);
        DeferredStep deferred(step, true);
        deferred.defer({2, 1}, prompts, own);
        deferred.defer({2, 1}, Numbers{6, 6}, own);
        CHECK(step.fed == std::vector<std::size_t>{2});
        deferred({2, 1}, Numbers{7, 7}, own, 4, false);
        CHECK(step.fed == std::vector<std::size_t>{2, 2});
    }

    TEST_CASE("a search saves the steps of forced tokens") {
        for (const std::int64_t width : {1, 3}) {
            PlanContext context;
            context.defaults.decoder_start_token_id = 0;
            context.defaults.eos_token_id = TokenIds{1};
            context.vocabulary = OutputVocabulary(vocabulary);
            GenerateOptions options;
            options.num_beams = width;
            options.min_new_tokens = 5;
            options.max_new_tokens = 5;
            options.forced_bos_token_id = 6;
            options.forced_eos_token_id = TokenIds{1};
            const SearchPlan plan = plan_search(context, options);
            ScriptedStep step(mixed);
            const SearchResult found = search(step, plan, 2, vocabulary, {});
            CHECK(found.steps == 5);
            CHECK(step.fed == std::vector<std::size_t>{2, 1, 1});
            CHECK(found.hypotheses[0][0].tokens[1] == 6);
            CHECK(found.hypotheses[0][0].tokens.back() == 1);
        }
    }
}
