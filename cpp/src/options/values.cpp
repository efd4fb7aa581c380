#include "options/values.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include <nlohmann/json.hpp>

#include "messages/sentences.h"
#include "options/types.h"
#include "s2t/errors.h"
#include "sentences_table.h"

namespace s2t {

namespace {

using option_types::Ends;
using option_types::Name;

/// Reads the value of a known option into its field.
using Read = std::function<void(Name, const Json&, GenerateOptions&)>;

template <typename Field>
Read integer_field(Field GenerateOptions::* field, std::int64_t least) {
    return [=](Name name, const Json& value, GenerateOptions& options) {
        options.*field = option_types::integer(name, value, least);
    };
}

template <typename Field, typename Value>
Read field(Field GenerateOptions::* member, Value (*read)(Name, const Json&)) {
    return [=](Name name, const Json& value, GenerateOptions& options) { options.*member = read(name, value); };
}

/// An option of sampling: a bundle's waits for do_sample, so its value is checked and left alone.
template <typename Check>
Read checked(Check check) {
    return [=](Name name, const Json& value, GenerateOptions&) { check(name, value); };
}

Read share(Ends ends) {
    return checked([=](Name name, const Json& value) { option_types::share(name, value, ends); });
}

void refuse_in_json(Name name, const Json& value, GenerateOptions& /*options*/) {
    throw option_types::refused(name, value, say("option.value.function"));
}

using Options = GenerateOptions;

/// In the order in which values are checked.
const std::vector<std::pair<std::string, Read>>& readers() {
    static const Read at_least_zero =
        checked([](Name name, const Json& value) { option_types::integer(name, value, 0); });
    static const std::vector<std::pair<std::string, Read>> table{
        {"num_beams", integer_field(&Options::num_beams, 1)},
        {"num_return_sequences", integer_field(&Options::num_return_sequences, 1)},
        {"max_length", integer_field(&Options::max_length, 1)},
        {"max_new_tokens", integer_field(&Options::max_new_tokens, 1)},
        {"min_length", integer_field(&Options::min_length, 0)},
        {"min_new_tokens", integer_field(&Options::min_new_tokens, 0)},
        {"length_penalty", field(&Options::length_penalty, option_types::number)},
        {"early_stopping", field(&Options::early_stopping, option_types::early_stopping)},
        {"do_sample", field(&Options::do_sample, option_types::flag)},
        {"temperature", checked(option_types::temperature)},
        {"top_k", at_least_zero},
        {"top_p", share(Ends::both)},
        {"min_p", share(Ends::both)},
        {"typical_p", share(Ends::without_zero)},
        {"top_h", share(Ends::both)},
        {"epsilon_cutoff", share(Ends::without_one)},
        {"eta_cutoff", share(Ends::without_one)},
        {"seed", at_least_zero},
        {"forced_bos_token_id", integer_field(&Options::forced_bos_token_id, 0)},
        {"forced_eos_token_id", field(&Options::forced_eos_token_id, option_types::ids)},
        {"eos_token_id", field(&Options::eos_token_id, option_types::ids)},
        {"decoder_start_token_id", integer_field(&Options::decoder_start_token_id, 0)},
        {"bos_token_id", integer_field(&Options::bos_token_id, 0)},
        {"pad_token_id", integer_field(&Options::pad_token_id, 0)},
        {"decoder_prompt_ids", field(&Options::decoder_prompt_ids, option_types::ids)},
        {"suppress_tokens", field(&Options::suppress_tokens, option_types::ids)},
        {"begin_suppress_tokens", field(&Options::begin_suppress_tokens, option_types::ids)},
        {"no_repeat_ngram_size", integer_field(&Options::no_repeat_ngram_size, 0)},
        {"repetition_penalty", field(&Options::repetition_penalty, option_types::positive_number)},
        {"bad_words_ids", field(&Options::bad_words_ids, option_types::words)},
        {"sequence_bias", field(&Options::sequence_bias, option_types::biases)},
        {"exponential_decay_length_penalty", field(&Options::exponential_decay_length_penalty, option_types::decay)},
        {"prefix_allowed_tokens_fn", refuse_in_json},
        {"renormalize_logits", field(&Options::renormalize_logits, option_types::flag)},
        {"language", field(&Options::language, option_types::language)},
    };
    return table;
}

/// Refuse names that are not options, those with a reason first.
void check_names(const Json& values) {
    std::vector<std::string> refusals;
    std::vector<std::string> unknown;
    std::vector<std::string> names;
    for (const auto& item : values.items()) {
        names.push_back(item.key());
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
        const auto is_known = [&](const auto& reader) { return reader.first == name; };
        if (std::any_of(readers().begin(), readers().end(), is_known)) {
            continue;
        }
        const auto* const reason = std::find_if(std::begin(refused_options_table), std::end(refused_options_table),
                                                [&](const SentenceRow& row) { return row.id == name; });
        if (reason == std::end(refused_options_table)) {
            unknown.push_back(name);
        } else {
            refusals.push_back(say("option.not_supported", {{"name", name}, {"reason", std::string(reason->text)}}));
        }
    }
    if (!refusals.empty()) {
        throw OptionError(joined(refusals, "; "));
    }
    if (!unknown.empty()) {
        std::vector<std::string> known;
        for (const auto& reader : readers()) {
            known.push_back(reader.first);
        }
        std::sort(known.begin(), known.end());
        throw OptionError(say("option.unknown", {{"names", joined(unknown, ", ")}, {"known", joined(known, ", ")}}));
    }
}

GenerateOptions read_known(const Json& values) {
    GenerateOptions options;
    for (const auto& [name, read] : readers()) {
        const auto found = values.find(name);
        if (found != values.end() && !found->is_null()) {
            read(name, *found, options);
        }
    }
    return options;
}

template <typename Value>
void put(Json& values, const char* name, const std::optional<Value>& value) {
    if (value) {
        values[name] = *value;
    }
}

/// What a caller set, by name.
Json values_of(const GenerateOptions& options) {
    Json values = Json::object();
    put(values, "num_beams", options.num_beams);
    put(values, "num_return_sequences", options.num_return_sequences);
    put(values, "max_length", options.max_length);
    put(values, "max_new_tokens", options.max_new_tokens);
    put(values, "min_length", options.min_length);
    put(values, "min_new_tokens", options.min_new_tokens);
    put(values, "length_penalty", options.length_penalty);
    put(values, "forced_bos_token_id", options.forced_bos_token_id);
    put(values, "forced_eos_token_id", options.forced_eos_token_id);
    put(values, "eos_token_id", options.eos_token_id);
    put(values, "decoder_start_token_id", options.decoder_start_token_id);
    put(values, "bos_token_id", options.bos_token_id);
    put(values, "pad_token_id", options.pad_token_id);
    put(values, "decoder_prompt_ids", options.decoder_prompt_ids);
    put(values, "suppress_tokens", options.suppress_tokens);
    put(values, "begin_suppress_tokens", options.begin_suppress_tokens);
    put(values, "no_repeat_ngram_size", options.no_repeat_ngram_size);
    put(values, "repetition_penalty", options.repetition_penalty);
    put(values, "bad_words_ids", options.bad_words_ids);
    put(values, "language", options.language);
    if (options.sequence_bias) {
        Json pairs = Json::array();
        for (const auto& [sequence, bias] : *options.sequence_bias) {
            pairs.push_back(Json::array({Json(sequence), Json(bias)}));
        }
        values["sequence_bias"] = pairs;
    }
    if (options.exponential_decay_length_penalty && options.exponential_decay_length_penalty->factor != 0.0) {
        const ExponentialDecay& decay = *options.exponential_decay_length_penalty;
        values["exponential_decay_length_penalty"] = Json::array({Json(decay.start), Json(decay.factor)});
    }
    return values;
}

}  // namespace

GenerateOptions options_from_values(const Json& values) {
    check_names(values);
    return read_known(values);
}

void check_values(const GenerateOptions& options) { read_known(values_of(options)); }

}  // namespace s2t
