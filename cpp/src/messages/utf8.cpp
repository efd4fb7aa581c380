#include "messages/utf8.h"

namespace s2t {

namespace {

struct Decoded {
    char32_t character = 0xFFFD;
    std::size_t length = 1;
    bool valid = false;
};

/// The first character of bytes that are not empty, or the maximal part of one.
///
/// The bounds of second bytes are those of table 3-7 of the Unicode standard.
Decoded first_character(std::string_view bytes) {
    const auto lead = static_cast<unsigned char>(bytes[0]);
    if (lead < 0x80) {
        return {lead, 1, true};
    }
    std::size_t length = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
    } else {
        return {};
    }
    unsigned least = lead == 0xE0 ? 0xA0U : lead == 0xF0 ? 0x90U : 0x80U;
    unsigned most = lead == 0xED ? 0x9FU : lead == 0xF4 ? 0x8FU : 0xBFU;
    char32_t character = lead & (0x7FU >> length);
    for (std::size_t index = 1; index < length; ++index) {
        if (index >= bytes.size()) {
            return {0xFFFD, index, false};
        }
        const auto next = static_cast<unsigned char>(bytes[index]);
        if (next < least || next > most) {
            return {0xFFFD, index, false};
        }
        character = (character << 6U) | (next & 0x3FU);
        least = 0x80U;
        most = 0xBFU;
    }
    return {character, length, true};
}

}  // namespace

std::u32string code_points(std::string_view bytes) {
    std::u32string result;
    while (!bytes.empty()) {
        const Decoded decoded = first_character(bytes);
        result += decoded.character;
        bytes.remove_prefix(decoded.length);
    }
    return result;
}

bool is_utf8(std::string_view bytes) {
    while (!bytes.empty()) {
        const Decoded decoded = first_character(bytes);
        if (!decoded.valid) {
            return false;
        }
        bytes.remove_prefix(decoded.length);
    }
    return true;
}

std::string utf8(char32_t character) {
    const auto byte = [](char32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
    if (character < 0x80) {
        return {byte(character)};
    }
    if (character < 0x800) {
        return {byte(0xC0 | (character >> 6U)), byte(0x80 | (character & 0x3FU))};
    }
    if (character < 0x10000) {
        return {byte(0xE0 | (character >> 12U)), byte(0x80 | ((character >> 6U) & 0x3FU)),
                byte(0x80 | (character & 0x3FU))};
    }
    return {byte(0xF0 | (character >> 18U)), byte(0x80 | ((character >> 12U) & 0x3FU)),
            byte(0x80 | ((character >> 6U) & 0x3FU)), byte(0x80 | (character & 0x3FU))};
}

std::string replaced_utf8(std::string_view bytes) {
    std::string result;
    result.reserve(bytes.size());
    while (!bytes.empty()) {
        const Decoded decoded = first_character(bytes);
        if (decoded.valid) {
            result += bytes.substr(0, decoded.length);
        } else {
            result += "\xEF\xBF\xBD";
        }
        bytes.remove_prefix(decoded.length);
    }
    return result;
}

}  // namespace s2t
