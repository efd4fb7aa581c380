// The search on scripted steps, with no model.

#include <cmath>

#include "scripted_step.h"
#include "search/probabilities.h"
#include "search/search.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

constexpr std::int64_t start = 0;
constexpr std::int64_t end = 1;

SearchPlan plan_of(GenerateOptions options) {
    PlanContext context;
    context.defaults.decoder_start_token_id = start;
    context.defaults.eos_token_id = TokenIds{end};
    context.vocabulary = OutputVocabulary(vocabulary);
    return plan_search(context, options);
}

GenerateOptions beams(std::int64_t count) {
    GenerateOptions options;
    options.num_beams = count;
    options.num_return_sequences = count;
    options.max_new_tokens = 6;
    return options;
}

SearchResult run(const GenerateOptions& options, const Script& script, std::size_t batch = 1,
                 std::size_t most = vocabulary) {
    ScriptedStep step(script);
    const SearchPlan plan = plan_of(options);
    return search(step, plan, batch, most, {options.stop, {}});
}

/// The log-probability of a whole sequence, by the definition.
float score_of(const std::vector<std::int64_t>& tokens, double penalty) {
    float sum = 0.0F;
    for (std::size_t length = 1; length < tokens.size(); ++length) {
        std::vector<float> scores(vocabulary);
        log_softmax(mixed(0, {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(length)}), scores);
        sum += scores[static_cast<std::size_t>(tokens[length])];
    }
    return sum / length_divisor(static_cast<std::int64_t>(tokens.size()) - 1, penalty);
}

}  // namespace

TEST_SUITE("beam_search") {
    TEST_CASE("a hypothesis scores what its tokens score, the end token counted in its length") {
        for (const double penalty : {1.0, 0.0, 2.0}) {
            GenerateOptions options = beams(4);
            options.length_penalty = penalty;
            const SearchResult found = run(options, mixed);
            for (const FoundHypothesis& one : found.hypotheses[0]) {
                CHECK(std::fabs(one.score - score_of(one.tokens, penalty)) < 1e-5);
                CHECK(one.tokens.size() == one.log_probs.size() + 1);
            }
        }
    }

    TEST_CASE("as many beams as sequences find the best of all") {
        // All 7 * 7 + 7 + 1 sequences of three new tokens at most.
        GenerateOptions options = beams(64);
        options.max_new_tokens = 3;
        options.length_penalty = 0.0;
        float best = -1e9F;
        for (std::int64_t a = 0; a < 8; ++a) {
            for (std::int64_t b = 0; b < 8; ++b) {
                for (std::int64_t c = 0; c < 8; ++c) {
                    std::vector<std::int64_t> tokens{start, a, b, c};
                    tokens.resize(a == end ? 2 : b == end ? 3 : 4);
                    best = std::max(best, score_of(tokens, 0.0));
                }
            }
        }
        CHECK(std::fabs(run(options, mixed).hypotheses[0][0].score - best) < 1e-5);
    }

    TEST_CASE("a batch gives what each utterance gives alone") {
        for (const std::int64_t width : {1, 3}) {
            const SearchResult together = run(beams(width), mixed, 3);
            for (std::size_t utterance = 0; utterance < 3; ++utterance) {
                const SearchResult alone =
                    run(beams(width), [&](std::size_t, const auto& history) { return mixed(utterance, history); });
                for (std::size_t rank = 0; rank < static_cast<std::size_t>(width); ++rank) {
                    CHECK(together.hypotheses[utterance][rank].tokens == alone.hypotheses[0][rank].tokens);
                    CHECK(together.hypotheses[utterance][rank].score == alone.hypotheses[0][rank].score);
                }
            }
        }
    }

    TEST_CASE("sparse rows give what whole rows give") {
        GenerateOptions options = beams(3);
        options.no_repeat_ngram_size = 2;
        options.suppress_tokens = TokenIds{4, 6};
        options.repetition_penalty = 1.4;
        options.bad_words_ids = std::vector<TokenIds>{{2, 3}, {5}, {3, 7, 2}};
        options.min_new_tokens = 3;
        for (const std::int64_t width : {1, 3}) {
            options.num_beams = width;
            options.num_return_sequences = width;
            const SearchResult sparse = run(options, mixed);
            const SearchResult whole = run(options, mixed, 1, 1);  // one candidate is never enough
            for (std::size_t rank = 0; rank < static_cast<std::size_t>(width); ++rank) {
                CHECK(sparse.hypotheses[0][rank].tokens == whole.hypotheses[0][rank].tokens);
                CHECK(std::fabs(sparse.hypotheses[0][rank].score - whole.hypotheses[0][rank].score) < 1e-6);
            }
        }
    }

    TEST_CASE("each way to stop takes its steps and no more") {
        const auto ends_soon = [](std::size_t utterance, const std::vector<std::int64_t>& history) {
            std::vector<float> logits = mixed(utterance, history);
            logits[end] += 2.0F;
            return logits;
        };
        const auto steps = [&](EarlyStopping stopping) {
            GenerateOptions options = beams(3);
            options.max_new_tokens = 20;
            options.length_penalty = 2.0;
            options.early_stopping = stopping;
            return run(options, ends_soon).steps;
        };
        // As soon as enough are finished; once the best that runs is no better than the worst of these; or once it
        // could not become better, which a penalty for short ones puts off to the last step.
        CHECK(steps(EarlyStopping::at_beams) < steps(EarlyStopping::heuristic));
        CHECK(steps(EarlyStopping::heuristic) < steps(EarlyStopping::never));
        CHECK(steps(EarlyStopping::never) == 20);
    }

    TEST_CASE("among equals the lower beam goes first, then the lower id") {
        GenerateOptions options = beams(3);
        options.max_new_tokens = 1;
        const auto flat = [](std::size_t, const std::vector<std::int64_t>&) {
            return std::vector<float>(vocabulary, 1.0F);
        };
        const SearchResult found = run(options, flat);
        CHECK(found.hypotheses[0][0].tokens == std::vector<std::int64_t>{start, 0});
        CHECK(found.hypotheses[0][1].tokens == std::vector<std::int64_t>{start, 1});
        CHECK(found.hypotheses[0][2].tokens == std::vector<std::int64_t>{start, 2});
    }

    TEST_CASE("a model whose scores are not numbers ends, as one would wish") {
        const auto broken = [](std::size_t, const std::vector<std::int64_t>&) {
            return std::vector<float>(vocabulary, std::nanf(""));
        };
        for (const std::int64_t width : {1, 4}) {
            CHECK(run(beams(width), broken).hypotheses[0].size() == static_cast<std::size_t>(width));
        }
    }

    TEST_CASE("no more candidates are asked for than are needed") {
        ScriptedStep step(mixed);
        GenerateOptions options = beams(2);
        options.suppress_tokens = TokenIds{4, 6};
        const SearchPlan plan = plan_of(options);
        search(step, plan, 1, vocabulary, {});
        CHECK(step.wanted.front() == 2 * 2 + 2);
    }
}
