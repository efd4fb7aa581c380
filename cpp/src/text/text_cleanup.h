/// Replacements in text, as Python and transformers make them.
#pragma once

#include <string>
#include <string_view>

namespace s2t {

/// str.replace of Python; an empty `old` stands before each character and at the end.
std::string replaced(std::string_view text, std::string_view old, std::string_view by);

enum class Cleanup {
    words,  ///< the clean-up that the WordPiece and CTC decoders make in each token
    text,   ///< transformers' clean_up_tokenization of a whole text
};

/// Take out the spaces that tokenization leaves before punctuation and contractions.
std::string cleaned(std::string text, Cleanup cleanup);

}  // namespace s2t
