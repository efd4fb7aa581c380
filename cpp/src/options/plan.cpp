#include "options/plan.h"

#include <algorithm>
#include <cmath>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "options/lengths.h"
#include "options/values.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

using Id = std::optional<std::int64_t>;
using Ids = std::optional<TokenIds>;

std::string text(std::int64_t value) { return std::to_string(value); }

template <typename Value>
std::optional<Value> first(const std::optional<Value>& one, const std::optional<Value>& other) {
    return one ? one : other;
}

/// A call's options over a bundle's.
GenerateOptions merged_options(const GenerateOptions& defaults, const GenerateOptions& call) {
    GenerateOptions merged = call;
    const auto take = [&](auto member) { merged.*member = first(call.*member, defaults.*member); };
    take(&GenerateOptions::num_beams);
    take(&GenerateOptions::num_return_sequences);
    take(&GenerateOptions::length_penalty);
    take(&GenerateOptions::early_stopping);
    take(&GenerateOptions::forced_eos_token_id);
    take(&GenerateOptions::eos_token_id);
    take(&GenerateOptions::decoder_start_token_id);
    take(&GenerateOptions::bos_token_id);
    take(&GenerateOptions::pad_token_id);
    take(&GenerateOptions::decoder_prompt_ids);
    take(&GenerateOptions::suppress_tokens);
    take(&GenerateOptions::begin_suppress_tokens);
    take(&GenerateOptions::no_repeat_ngram_size);
    take(&GenerateOptions::repetition_penalty);
    take(&GenerateOptions::bad_words_ids);
    take(&GenerateOptions::sequence_bias);
    take(&GenerateOptions::exponential_decay_length_penalty);
    take(&GenerateOptions::renormalize_logits);
    take(&GenerateOptions::do_sample);
    take(&GenerateOptions::forced_bos_token_id);
    return merged;
}

/// See that a decoder has these ids of an option.
void check_known(const std::string& name, const TokenIds& ids, const OutputVocabulary& vocabulary) {
    const std::int64_t size = vocabulary.vocab_size();
    for (const std::int64_t token : ids) {
        if (token < 0 || token >= size) {  // a bundle's language may be below
            throw OptionError(
                say("option.token_range", {{"name", name}, {"token", text(token)}, {"last", text(size - 1)}}));
        }
    }
    for (const std::int64_t token : ids) {
        if (!vocabulary.column(token)) {
            throw OptionError(say("option.unwritable", {{"name", name},
                                                        {"token", text(token)},
                                                        {"written", std::to_string(vocabulary.width())},
                                                        {"all", text(size)}}));
        }
    }
}

TokenIds as_list(const Id& id) { return id ? TokenIds{*id} : TokenIds{}; }
TokenIds as_list(const Ids& ids) { return ids.value_or(TokenIds{}); }

void check_ids(const GenerateOptions& options, const OutputVocabulary& vocabulary) {
    check_known("forced_bos_token_id", as_list(options.forced_bos_token_id), vocabulary);
    check_known("forced_eos_token_id", as_list(options.forced_eos_token_id), vocabulary);
    check_known("eos_token_id", as_list(options.eos_token_id), vocabulary);
    check_known("decoder_start_token_id", as_list(options.decoder_start_token_id), vocabulary);
    if (!options.decoder_start_token_id) {  // else it is not used
        check_known("bos_token_id", as_list(options.bos_token_id), vocabulary);
    }
    check_known("pad_token_id", as_list(options.pad_token_id), vocabulary);
    check_known("decoder_prompt_ids", as_list(options.decoder_prompt_ids), vocabulary);
    check_known("suppress_tokens", as_list(options.suppress_tokens), vocabulary);
    check_known("begin_suppress_tokens", as_list(options.begin_suppress_tokens), vocabulary);
    for (const TokenIds& word : options.bad_words_ids.value_or(std::vector<TokenIds>{})) {
        check_known("bad_words_ids", word, vocabulary);
    }
    for (const auto& bias : options.sequence_bias.value_or(std::vector<std::pair<TokenIds, double>>{})) {
        check_known("sequence_bias", bias.first, vocabulary);
    }
}

TokenIds prompt_of(const GenerateOptions& options) {
    const Id start = first(options.decoder_start_token_id, options.bos_token_id);
    if (!start) {
        throw OptionError(say("option.no_start"));
    }
    TokenIds prompt = as_list(options.decoder_prompt_ids);
    if (prompt.empty() || prompt.front() != *start) {
        prompt.insert(prompt.begin(), *start);
    }
    return prompt;
}

std::int64_t language_token(const std::string& language, const Id& forced,
                            const std::map<std::string, std::int64_t>& languages) {
    const std::string shown = python_repr(std::string_view(language));
    const auto found = languages.find(language);
    if (found == languages.end()) {
        std::vector<std::string> codes;
        for (const auto& known : languages) {
            codes.push_back(known.first);
        }
        throw OptionError(codes.empty()
                              ? say("option.no_languages", {{"language", shown}})
                              : say("option.language", {{"language", shown}, {"known", joined(codes, ", ")}}));
    }
    if (forced && *forced != found->second) {
        throw OptionError(say("option.two_languages",
                              {{"language", shown}, {"token", text(found->second)}, {"forced", text(*forced)}}));
    }
    return found->second;
}

void set_forced_bos(SearchPlan& plan, const PlanContext& context, const GenerateOptions& call) {
    const bool asked = call.language || call.forced_bos_token_id;
    if (plan.prompt.size() > 1) {  // as in transformers, where a default is not applied after a longer prompt
        if (asked) {
            throw OptionError(say("option.forced_after_prompt", {{"prompt", std::to_string(plan.prompt.size())}}));
        }
        return;
    }
    const GenerateOptions& source = asked ? call : context.defaults;
    Id token = source.forced_bos_token_id;
    if (source.language) {
        token = language_token(*source.language, token, context.languages);
    }
    if (!token) {
        return;
    }
    check_known("forced_bos_token_id", {*token}, context.vocabulary);
    plan.forced_bos_token_id = token;
    plan.language = source.language;
    for (const auto& [code, known] : context.languages) {  // in the order of their codes
        if (!plan.language && known == *token) {
            plan.language = code;
        }
    }
}

void check_forced(const SearchPlan& plan) {
    const auto check = [&](const char* name, const TokenIds& tokens) {
        const bool suppressed = std::all_of(tokens.begin(), tokens.end(), [&](std::int64_t token) {
            return std::find(plan.suppress_tokens.begin(), plan.suppress_tokens.end(), token) !=
                   plan.suppress_tokens.end();
        });
        if (!tokens.empty() && suppressed) {
            throw OptionError(say("option.forced_suppressed", {{"name", name}, {"tokens", python_ids(tokens)}}));
        }
    };
    check("forced_bos_token_id", as_list(plan.forced_bos_token_id));
    check("forced_eos_token_id", plan.forced_eos_token_ids);
}

void set_widths(SearchPlan& plan, const GenerateOptions& options) {
    plan.num_beams = options.num_beams.value_or(1);
    plan.num_return_sequences = options.num_return_sequences.value_or(1);
    if (plan.num_return_sequences > plan.num_beams) {
        throw OptionError(say("option.more_sequences",
                              {{"returned", text(plan.num_return_sequences)}, {"beams", text(plan.num_beams)}}));
    }
}

/// Continuations that are ranked for each beam: enough that all go on even where every end token is among the best.
std::int64_t candidates_of(const SearchPlan& plan) {
    const auto width = static_cast<std::int64_t>(plan.vocabulary.width());
    const auto ends = static_cast<std::int64_t>(plan.eos_token_ids.size());
    const std::int64_t each = std::max<std::int64_t>(2, 1 + ends);
    return plan.num_beams > width / each ? width : each * plan.num_beams;
}

double length_penalty_of(const GenerateOptions& options, std::int64_t longest) {
    const double penalty = options.length_penalty.value_or(1.0);
    // The divisor is float in the search; at zero or infinity every score would be lost.
    if (std::fabs(penalty * std::log(static_cast<double>(longest))) > 80) {
        throw OptionError(
            say("option.length_penalty", {{"penalty", python_repr(penalty)}, {"longest", text(longest)}}));
    }
    return penalty;
}

std::optional<ExponentialDecay> decay_of(const GenerateOptions& options, std::int64_t prompt) {
    std::optional<ExponentialDecay> decay = options.exponential_decay_length_penalty;
    if (!decay || decay->factor == 0.0) {
        return std::nullopt;
    }
    if (as_list(options.eos_token_id).empty()) {
        throw OptionError(say("option.decay_without_end"));
    }
    decay->start = sum_of_lengths(prompt, decay->start);
    return decay;
}

/// Refused where it would draw; what the bundle sets for drawing waits for do_sample, as in s2t_runtime.
void refuse_sampling(const GenerateOptions& options) {
    if (options.do_sample.value_or(false)) {
        throw OptionError(say("option.sampling", {{"name", "do_sample"}, {"value", "True"}}));
    }
}

/// Whether what is forced behind the prompt may be fed with it.
bool joins(const TokenIds& prompt, const std::optional<TokenIds>& alone) {
    const auto is_alone = [&](std::int64_t token) {
        return std::find(alone->begin(), alone->end(), token) != alone->end();
    };
    return alone && std::none_of(prompt.begin(), prompt.end(), is_alone);
}

}  // namespace

SearchPlan plan_search(const PlanContext& context, const GenerateOptions& call) {
    check_values(call);
    const GenerateOptions merged = merged_options(context.defaults, call);
    refuse_sampling(merged);
    check_ids(merged, context.vocabulary);
    SearchPlan plan;
    plan.vocabulary = context.vocabulary;
    plan.prompt = prompt_of(merged);
    plan.joins_prompt = joins(plan.prompt, context.alone_ids);
    const auto prompt = static_cast<std::int64_t>(plan.prompt.size());
    set_forced_bos(plan, context, call);
    const Lengths lengths = plan_lengths(context.defaults, call, prompt, context.max_positions);
    plan.max_length = lengths.longest;
    plan.min_length = lengths.least;
    plan.min_new_tokens = lengths.least_new;
    plan.forced_eos_token_ids = as_list(merged.forced_eos_token_id);
    plan.suppress_tokens = as_list(merged.suppress_tokens);
    check_forced(plan);
    plan.eos_token_ids = as_list(merged.eos_token_id);
    set_widths(plan, merged);
    check_memory(context.memory, plan.num_beams, plan.max_length, candidates_of(plan));
    plan.length_penalty = length_penalty_of(merged, plan.max_length - prompt);
    plan.early_stopping = merged.early_stopping.value_or(EarlyStopping::heuristic);
    plan.pad_token_id = merged.pad_token_id          ? merged.pad_token_id
                        : plan.eos_token_ids.empty() ? std::nullopt
                                                     : Id(plan.eos_token_ids.front());
    plan.begin_suppress_tokens = as_list(merged.begin_suppress_tokens);
    plan.begin_index = prompt + (prompt == 1 && plan.forced_bos_token_id ? 1 : 0);
    plan.no_repeat_ngram_size = merged.no_repeat_ngram_size.value_or(0);
    plan.repetition_penalty = merged.repetition_penalty.value_or(1.0);
    plan.bad_words_ids = merged.bad_words_ids.value_or(std::vector<TokenIds>{});
    plan.sequence_bias = merged.sequence_bias.value_or(std::vector<std::pair<TokenIds, double>>{});
    plan.decay = decay_of(merged, prompt);
    plan.prefix_allowed_tokens_fn = merged.prefix_allowed_tokens_fn;
    plan.renormalize_logits = merged.renormalize_logits.value_or(false);
    return plan;
}

}  // namespace s2t
