#include "decoding_flags.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <nlohmann/json.hpp>

namespace s2t::cli {

namespace {

double number(const std::string& flag, const std::string& text) {
    char* rest = nullptr;
    const double value = std::strtod(text.c_str(), &rest);
    if (text.empty() || *rest != '\0') {
        throw bad_value(flag, text, "number");
    }
    return value;
}

std::vector<std::string> by_commas(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t start = 0; start <= text.size();) {
        const std::size_t end = std::min(text.find(',', start), text.size());
        parts.push_back(text.substr(start, end - start));
        start = end + 1;
    }
    return parts;
}

Json json_list(const std::string& flag, const std::string& text) {
    if (text.empty()) {
        return Json::array();
    }
    Json value = Json::parse(text, nullptr, false);
    if (!value.is_array()) {
        throw bad_value(flag, text, "JSON list");
    }
    return value;
}

Json pair(const std::string& flag, const std::string& text) {
    if (text.empty()) {
        return Json::array();
    }
    const std::vector<std::string> parts = by_commas(text);
    if (parts.size() != 2) {
        throw bad_value(flag, text, "START,FACTOR such as 20,1.1");
    }
    return Json::array({Json(integer(flag, parts[0])), Json(number(flag, parts[1]))});
}

Json choice(const std::string& flag, std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](char letter) {
        return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
    });
    if (text == "true" || text == "false") {
        return text == "true";
    }
    if (text != "never") {
        throw bad_value(flag, text, "true, false or never");
    }
    return text;
}

}  // namespace

const std::vector<DecodingFlag>& decoding_flags() {
    static const std::vector<DecodingFlag> flags{
        {"language", Kind::text, "CODE  language to write: a code that the bundle knows"},
        {"num_beams", Kind::integer, "N  beams; 1 decodes greedily"},
        {"num_return_sequences", Kind::integer, "N  hypotheses to return; at most one per beam"},
        {"max_length", Kind::integer, "N  most tokens in all, prompt included"},
        {"max_new_tokens", Kind::integer, "N  most tokens after the prompt, in place of --max-length"},
        {"min_length", Kind::integer, "N  fewest tokens in all, prompt included"},
        {"min_new_tokens", Kind::integer, "N  fewest tokens after the prompt, in place of --min-length"},
        {"length_penalty", Kind::number, "X  a hypothesis scores its log-probability / new tokens ** X"},
        {"early_stopping", Kind::choice,
         "true|false|never  stop once num-beams hypotheses have finished; false: later"},
        {"do_sample", Kind::on_or_off,
         "refused, as the next nine are where they would act: this program draws no tokens"},
        {"temperature", Kind::number, "X"},
        {"top_k", Kind::integer, "N"},
        {"top_p", Kind::number, "X"},
        {"min_p", Kind::number, "X"},
        {"typical_p", Kind::number, "X"},
        {"top_h", Kind::number, "X"},
        {"epsilon_cutoff", Kind::number, "X"},
        {"eta_cutoff", Kind::number, "X"},
        {"seed", Kind::integer, "N"},
        {"forced_bos_token_id", Kind::integer, "ID  the first token after the start token"},
        {"forced_eos_token_id", Kind::ids, "ID,...  the last token, where the maximum length is reached"},
        {"eos_token_id", Kind::ids, "ID,...  tokens that end a hypothesis"},
        {"decoder_start_token_id", Kind::integer, "ID  the first token of the prompt"},
        {"decoder_prompt_ids", Kind::ids, "ID,...  prompt; the start token is put in front where absent"},
        {"suppress_tokens", Kind::ids, "ID,...  tokens that are never chosen"},
        {"begin_suppress_tokens", Kind::ids, "ID,...  tokens that are never chosen first"},
        {"no_repeat_ngram_size", Kind::integer, "N  no N tokens in a row occur twice; 0 switches it off"},
        {"repetition_penalty", Kind::number, "X  above 1 tokens that occurred become less likely"},
        {"bad_words_ids", Kind::json_list, "JSON  token sequences that never occur, such as [[5,6],[7]]"},
        {"sequence_bias", Kind::json_list, "JSON  add to scores, as in [[[5,6],-2.5],[[7],1]]"},
        {"exponential_decay_length_penalty", Kind::pair, "START,FACTOR  make an end likelier after START new tokens"},
        {"renormalize_logits", Kind::on_or_off, "make scores log-probabilities again behind all rules"},
    };
    return flags;
}

std::string flag_of(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return "--" + name;
}

UsageError bad_value(const std::string& flag, const std::string& text, const std::string& wanted) {
    return UsageError("invalid value for " + flag + ": " + python_repr(std::string_view(text)) + " is no " + wanted);
}

std::int64_t integer(const std::string& flag, const std::string& text) {
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || rest != end) {
        throw bad_value(flag, text, "integer");
    }
    return value;
}

void set(Json& options, const DecodingFlag& flag, const std::string& text) {
    const std::string shown = flag_of(flag.name);
    switch (flag.kind) {
        case Kind::integer: options[flag.name] = integer(shown, text); break;
        case Kind::number: options[flag.name] = number(shown, text); break;
        case Kind::json_list: options[flag.name] = json_list(shown, text); break;
        case Kind::pair: options[flag.name] = pair(shown, text); break;
        case Kind::choice: options[flag.name] = choice(shown, text); break;
        case Kind::ids: {  // by commas or repetition; an empty text is an empty list, which switches a default off
            Json& list = options.contains(flag.name) ? options[flag.name] : options[flag.name] = Json::array();
            for (const std::string& part : text.empty() ? std::vector<std::string>{} : by_commas(text)) {
                list.push_back(integer(shown, part));
            }
            break;
        }
        default: options[flag.name] = text;
    }
}

}  // namespace s2t::cli
