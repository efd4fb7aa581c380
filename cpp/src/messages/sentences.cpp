#include "messages/sentences.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "sentences_table.h"

namespace s2t {

std::string say(std::string_view id, std::initializer_list<std::pair<std::string_view, std::string>> values) {
    const auto* const row = std::find_if(std::begin(sentences_table), std::end(sentences_table),
                                         [&](const auto& entry) { return entry.id == id; });
    if (row == std::end(sentences_table)) {
        throw std::logic_error("no sentence " + std::string(id));
    }
    // In one pass, so that braces inside a value stay what they are.
    std::string text;
    std::string_view rest = row->text;
    while (!rest.empty()) {
        const auto* filled = values.end();
        if (rest.front() == '{') {
            filled = std::find_if(values.begin(), values.end(), [&](const auto& value) {
                return rest.substr(1, value.first.size()) == value.first &&
                       rest.substr(1 + value.first.size(), 1) == "}";
            });
        }
        if (filled != values.end()) {
            text += filled->second;
            rest.remove_prefix(filled->first.size() + 2);
        } else {
            text += rest.front();
            rest.remove_prefix(1);
        }
    }
    return text;
}

}  // namespace s2t
