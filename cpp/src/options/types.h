/// The types of decoding options, read from JSON; each throws OptionError for what is not of its type.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "messages/python_text.h"
#include "s2t/errors.h"
#include "s2t/options.h"

namespace s2t::option_types {

using Name = const std::string&;  ///< of the option, for messages

OptionError refused(Name name, const Json& value, const std::string& wanted);

std::int64_t integer(Name name, const Json& value, std::int64_t least);
double number(Name name, const Json& value);           ///< finite
double positive_number(Name name, const Json& value);  ///< finite and above 0
double bias(Name name, const Json& value);             ///< of single precision
double temperature(Name name, const Json& value);      ///< of single precision, above 0
bool flag(Name name, const Json& value);
TokenIds ids(Name name, const Json& value);  ///< of one id or a list
std::vector<TokenIds> words(Name name, const Json& value);
std::vector<std::pair<TokenIds, double>> biases(Name name, const Json& value);  ///< [[[ids], bias], ...]
ExponentialDecay decay(Name name, const Json& value);                           ///< [start, factor], or [] for off
EarlyStopping early_stopping(Name name, const Json& value);
std::string language(Name name, const Json& value);

enum class Ends { both, without_zero, without_one };

/// A number from 0 to 1, with or without an end.
double share(Name name, const Json& value, Ends ends);

}  // namespace s2t::option_types
