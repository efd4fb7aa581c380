/// Our own sentences, from the one table that the tests of s2t_runtime read too: cpp/sentences.json.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace s2t {

/// A sentence of the table with its {names} filled in; a name that the table lacks is a bug of ours.
std::string say(std::string_view id, std::initializer_list<std::pair<std::string_view, std::string>> values = {});

/// What this library calls itself where a sentence names its reader.
inline constexpr std::string_view reader_name = "s2t library";

}  // namespace s2t
