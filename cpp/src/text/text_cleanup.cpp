#include "text/text_cleanup.h"

#include <array>
#include <utility>

#include "messages/utf8.h"

namespace s2t {

namespace {

using Replacement = std::pair<std::string_view, std::string_view>;

// What transformers' clean_up_tokenization replaces, in its order; the clean-up of the WordPiece and CTC decoders
// has one more, before the last three.
constexpr std::array<Replacement, 11> cleanups{{{" .", "."},
                                                {" ?", "?"},
                                                {" !", "!"},
                                                {" ,", ","},
                                                {" ' ", "'"},
                                                {" n't", "n't"},
                                                {" 'm", "'m"},
                                                {" do not", " don't"},
                                                {" 's", "'s"},
                                                {" 've", "'ve"},
                                                {" 're", "'re"}}};
constexpr std::size_t of_words_only = 7;

}  // namespace

std::string replaced(std::string_view text, std::string_view old, std::string_view by) {
    std::string result;
    if (old.empty()) {
        for (const char32_t character : code_points(text)) {
            result += by;
            result += utf8(character);
        }
        return result.append(by);
    }
    while (true) {
        const std::size_t found = text.find(old);
        result += text.substr(0, found);
        if (found == std::string_view::npos) {
            return result;
        }
        result += by;
        text.remove_prefix(found + old.size());
    }
}

std::string cleaned(std::string text, Cleanup cleanup) {
    for (std::size_t index = 0; index < cleanups.size(); ++index) {
        if (cleanup == Cleanup::words || index != of_words_only) {
            text = replaced(text, cleanups[index].first, cleanups[index].second);
        }
    }
    return text;
}

}  // namespace s2t
