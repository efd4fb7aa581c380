#include "text/joining_steps.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "messages/utf8.h"
#include "s2t/errors.h"
#include "text/text_cleanup.h"

namespace s2t {

namespace {

using Pieces = std::vector<std::string>;

int hexadecimal(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/// The byte that a token such as <0xE2> stands for, -1 for any other token.
int byte_of_token(std::string_view piece) {
    if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') {
        return -1;
    }
    const int high = piece[3] == '+' ? 0 : hexadecimal(piece[3]);
    const int low = hexadecimal(piece[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

Pieces byte_fallback(const JoiningStep& /*step*/, Pieces pieces) {
    Pieces result;
    std::string run;
    const auto end_run = [&] {
        if (is_utf8(run)) {
            if (!run.empty()) {
                result.push_back(run);
            }
        } else {
            result.insert(result.end(), run.size(), "\xEF\xBF\xBD");
        }
        run.clear();
    };
    for (std::string& piece : pieces) {
        if (const int byte = byte_of_token(piece); byte >= 0) {
            run += static_cast<char>(static_cast<unsigned char>(byte));
        } else {
            end_run();
            result.push_back(std::move(piece));
        }
    }
    end_run();
    return result;
}

/// The byte that a character stands for in GPT-2's map, -1 for one that is not in it.
int byte_of_character(char32_t character) {
    const auto printable = [](char32_t byte) {
        return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    };
    if (character < 0x100) {
        return printable(character) ? static_cast<int>(character) : -1;
    }
    char32_t number = 0xFF;  // the other bytes, in rising order, are U+0100 onwards
    for (char32_t byte = 0; byte < 0x100; ++byte) {
        number += printable(byte) ? 0 : 1;
        if (number == character) {
            return static_cast<int>(byte);
        }
    }
    return -1;
}

Pieces byte_level(const JoiningStep& /*step*/, Pieces pieces) {
    std::string bytes;
    for (const std::string& piece : pieces) {
        std::string own;
        for (const char32_t character : code_points(piece)) {
            const int byte = byte_of_character(character);
            if (byte < 0) {
                own = piece;
                break;
            }
            own += static_cast<char>(static_cast<unsigned char>(byte));
        }
        bytes += own;
    }
    return {replaced_utf8(bytes)};
}

Pieces replace(const JoiningStep& step, Pieces pieces) {
    for (std::string& piece : pieces) {
        piece = replaced(piece, *step.pattern, *step.content);
    }
    return pieces;
}

Pieces join(const JoiningStep& step, Pieces pieces) { return {joined(pieces, *step.content)}; }

/// How many of the first characters are among `characters`, and how many bytes these take.
std::pair<std::int64_t, std::size_t> leading(const std::u32string& text, const std::u32string& characters) {
    std::int64_t count = 0;
    std::size_t bytes = 0;
    for (const char32_t character : text) {
        if (characters.find(character) == std::u32string::npos) {
            break;
        }
        ++count;
        bytes += utf8(character).size();
    }
    return {count, bytes};
}

Pieces strip(const JoiningStep& step, Pieces pieces) {
    const std::u32string characters = code_points(*step.content);
    for (std::string& piece : pieces) {
        const std::u32string text = code_points(piece);
        const std::int64_t dropped = std::max<std::int64_t>(0, std::min(step.count, leading(text, characters).first));
        piece.erase(0, leading(text.substr(0, static_cast<std::size_t>(dropped)), characters).second);
    }
    return pieces;
}

Pieces trim(const JoiningStep& step, Pieces pieces) {
    const std::u32string characters = code_points(*step.content);
    for (std::string& piece : pieces) {
        piece.erase(0, leading(code_points(piece), characters).second);
        const std::u32string text = code_points(piece);
        const std::size_t trailing = leading({text.rbegin(), text.rend()}, characters).second;
        piece.erase(piece.size() - trailing);
    }
    return pieces;
}

Pieces metaspace(const JoiningStep& step, Pieces pieces) {
    for (std::size_t index = 0; index < pieces.size(); ++index) {
        const bool dropped = index == 0 && *step.prepend_scheme != "never";
        pieces[index] = replaced(pieces[index], *step.pattern, dropped ? "" : " ");
    }
    return pieces;
}

Pieces wordpiece(const JoiningStep& step, Pieces pieces) {
    const std::string& prefix = *step.pattern;
    for (std::size_t index = 0; index < pieces.size(); ++index) {
        std::string& piece = pieces[index];
        if (index > 0) {
            piece = piece.compare(0, prefix.size(), prefix) == 0 ? piece.substr(prefix.size()) : " " + piece;
        }
        if (step.cleanup) {
            piece = cleaned(piece, Cleanup::words);
        }
    }
    return pieces;
}

Pieces suffix(const JoiningStep& step, Pieces pieces) {
    for (std::size_t index = 0; index < pieces.size(); ++index) {
        pieces[index] = replaced(pieces[index], *step.pattern, index + 1 == pieces.size() ? "" : " ");
    }
    return pieces;
}

Pieces ctc(const JoiningStep& step, Pieces pieces) {
    pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
    Pieces result;
    for (const std::string& piece : pieces) {
        std::string text = replaced(piece, *step.pattern, "");
        if (step.cleanup) {
            text = replaced(cleaned(text, Cleanup::words), *step.content, " ");
        }
        if (!text.empty()) {
            result.push_back(text);
        }
    }
    return result;
}

struct StepKind {
    std::string_view name;
    Pieces (*apply)(const JoiningStep&, Pieces);
    std::array<std::string_view, 2> needed;
};

constexpr std::array<StepKind, 10> step_kinds{{{"replace", replace, {"pattern", "content"}},
                                               {"byte_fallback", byte_fallback, {}},
                                               {"byte_level", byte_level, {}},
                                               {"join", join, {"content", ""}},
                                               {"strip", strip, {"content", ""}},
                                               {"trim", trim, {"content", ""}},
                                               {"metaspace", metaspace, {"pattern", "prepend_scheme"}},
                                               {"wordpiece", wordpiece, {"pattern", ""}},
                                               {"suffix", suffix, {"pattern", ""}},
                                               {"ctc", ctc, {"pattern", "content"}}}};

bool has(const JoiningStep& step, std::string_view field) {
    if (field == "pattern") {  // an empty one would match everywhere; a word-piece prefix is looked for at one place
        return step.pattern && (!step.pattern->empty() || step.step == "wordpiece");
    }
    return field.empty() || (field == "content" ? step.content.has_value() : step.prepend_scheme.has_value());
}

}  // namespace

Pieces applied(const JoiningStep& step, Pieces pieces) {
    const auto* const kind =
        std::find_if(step_kinds.begin(), step_kinds.end(), [&](const StepKind& one) { return one.name == step.step; });
    std::vector<std::string> needed;
    bool complete = true;
    for (const std::string_view field : kind->needed) {
        complete = complete && has(step, field);
        if (!field.empty()) {
            needed.emplace_back(field);
        }
    }
    if (!complete) {
        throw BundleError(say("detokenizer.step", {{"step", step.step}, {"fields", joined(needed, " and ")}}));
    }
    return kind->apply(step, std::move(pieces));
}

}  // namespace s2t
