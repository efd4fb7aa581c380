#include "options/types.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "bundles/json_records.h"
#include "messages/sentences.h"

namespace s2t::option_types {

OptionError refused(Name name, const Json& value, const std::string& wanted) {
    return OptionError(say("option.value", {{"name", name}, {"value", python_value(value)}, {"wanted", wanted}}));
}

std::int64_t integer(Name name, const Json& value, std::int64_t least) {
    // What 64 bits do not hold is a double, as Python shows it too.
    if (value.is_number() && !is_integer(value) && value.get<double>() >= 9223372036854775807.0) {
        throw refused(name, value, say("option.value.integer_most"));
    }
    if (!is_integer(value) || value.get<std::int64_t>() < least) {
        throw refused(name, value, say("option.value.integer", {{"least", std::to_string(least)}}));
    }
    return value.get<std::int64_t>();
}

double number(Name name, const Json& value) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
        throw refused(name, value, say("option.value.number"));
    }
    return value.get<double>();
}

double positive_number(Name name, const Json& value) {
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
        throw refused(name, value, say("option.value.positive"));
    }
    return value.get<double>();
}

double bias(Name name, const Json& value) {
    const double read = number(name, value);
    if (std::fabs(read) > std::numeric_limits<float>::max()) {
        throw refused(name, value, say("option.value.single"));
    }
    return read;
}

double temperature(Name name, const Json& value) {
    const double read = positive_number(name, value);
    // Scores would be divided by zero, or by infinity.
    if (read < std::numeric_limits<float>::min() || read > std::numeric_limits<float>::max()) {
        throw refused(name, value, say("option.value.single_positive"));
    }
    return read;
}

bool flag(Name name, const Json& value) {
    if (!value.is_boolean()) {
        throw refused(name, value, say("option.value.flag"));
    }
    return value.get<bool>();
}

TokenIds ids(Name name, const Json& value) {
    TokenIds result;
    if (!value.is_array()) {
        return {integer(name, value, 0)};
    }
    for (const Json& item : value) {
        result.push_back(integer(name, item, 0));
    }
    return result;
}

std::vector<TokenIds> words(Name name, const Json& value) {
    const bool lists =
        value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& word) { return word.is_array(); });
    if (!lists) {
        throw refused(name, value, say("option.value.lists"));
    }
    std::vector<TokenIds> result;
    for (const Json& word : value) {
        result.push_back(ids(name, word));
    }
    if (std::find(result.begin(), result.end(), TokenIds{}) != result.end()) {
        throw refused(name, value, say("option.value.no_empty_entry"));
    }
    return result;
}

std::vector<std::pair<TokenIds, double>> biases(Name name, const Json& value) {
    if (!value.is_array()) {
        throw refused(name, value, say("option.value.biases"));
    }
    std::vector<std::pair<TokenIds, double>> result;
    for (const Json& pair : value) {
        if (!pair.is_array() || pair.size() != 2 || !pair[0].is_array()) {
            throw refused(name, value, say("option.value.biases"));
        }
        const TokenIds sequence = ids(name, pair[0]);
        const double added = bias(name, pair[1]);
        // Of equal sequences the last bias holds, at the first one's place: as a dict of transformers'.
        const auto known =
            std::find_if(result.begin(), result.end(), [&](const auto& one) { return one.first == sequence; });
        if (known == result.end()) {
            result.emplace_back(sequence, added);
        } else {
            known->second = added;
        }
    }
    for (const auto& [sequence, added] : result) {
        if (sequence.empty()) {
            throw refused(name, value, say("option.value.no_empty_sequence"));
        }
    }
    return result;
}

ExponentialDecay decay(Name name, const Json& value) {
    if (value.is_array() && value.empty()) {
        return {};
    }
    if (!value.is_array() || value.size() != 2) {
        throw refused(name, value, say("option.value.pair"));
    }
    const std::int64_t start = integer(name, value[0], 0);
    return {start, positive_number(name, value[1])};
}

EarlyStopping early_stopping(Name name, const Json& value) {
    if (value.is_boolean()) {
        return value.get<bool>() ? EarlyStopping::at_beams : EarlyStopping::heuristic;
    }
    if (value == "never") {
        return EarlyStopping::never;
    }
    throw refused(name, value, say("option.value.early_stopping"));
}

std::string language(Name name, const Json& value) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
        throw refused(name, value, say("option.value.language"));
    }
    return value.get<std::string>();
}

double share(Name name, const Json& value, Ends ends) {
    const double share = value.is_number() ? value.get<double>() : -1.0;
    const bool inside = share >= 0 && share <= 1 && (ends != Ends::without_zero || share != 0) &&
                        (ends != Ends::without_one || share != 1);
    if (!inside) {
        throw refused(name, value,
                      say("option.value.share", {{"from", ends == Ends::without_zero ? "above 0" : "0"},
                                                 {"to", ends == Ends::without_one ? "below 1" : "1"}}));
    }
    return share;
}

}  // namespace s2t::option_types
