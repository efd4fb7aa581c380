/// The decoding options as flags of s2t-cli, those of run-s2t.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "messages/python_text.h"

namespace s2t::cli {

/// A wrong command line.
class UsageError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

enum class Kind { text, integer, number, ids, json_list, pair, choice, on_or_off };

struct DecodingFlag {
    const char* name;  ///< of the option
    Kind kind;
    const char* help;
};

const std::vector<DecodingFlag>& decoding_flags();

/// --num-beams of num_beams
std::string flag_of(std::string name);

UsageError bad_value(const std::string& flag, const std::string& text, const std::string& wanted);

/// Throws UsageError: `text` is no integer.
std::int64_t integer(const std::string& flag, const std::string& text);

/// Set an option to the value of its flag; ids go behind those of an earlier flag of the name.
///
/// Throws UsageError: `text` is not of the option's kind.
void set(Json& options, const DecodingFlag& flag, const std::string& text);

}  // namespace s2t::cli
