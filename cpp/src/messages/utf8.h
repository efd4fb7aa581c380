/// UTF-8 as Python's codecs read and write it.
#pragma once

#include <string>
#include <string_view>

namespace s2t {

/// The code points; what is not UTF-8 becomes U+FFFD, one for each maximal part of a character.
std::u32string code_points(std::string_view bytes);

/// Whether all of it is UTF-8: no surrogates, no overlong forms.
bool is_utf8(std::string_view bytes);

std::string utf8(char32_t character);

/// bytes.decode(errors="replace"), in UTF-8 again.
std::string replaced_utf8(std::string_view bytes);

}  // namespace s2t
