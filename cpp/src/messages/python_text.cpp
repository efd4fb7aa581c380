#include "messages/python_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "messages/utf8.h"

namespace s2t {

namespace {

bool printable(char32_t character) {
    // What str.isprintable refuses among the characters that are likely in a message.
    const bool control = character < 0x20 || (character >= 0x7F && character <= 0xA0) || character == 0xAD;
    const bool separator = character >= 0x2000 && character <= 0x200F;
    const bool direction = (character >= 0x2028 && character <= 0x202F) || (character >= 0x205F && character <= 0x206F);
    const bool unassigned = character == 0xFEFF || (character >= 0xE000 && character <= 0xF8FF) ||
                            character == 0x3000 || (character >= 0xFFF0 && character <= 0xFFFB) || character >= 0xE0000;
    return !(control || separator || direction || unassigned);
}

std::string escaped(char32_t character) {
    switch (character) {
        case '\n': return "\\n";
        case '\r': return "\\r";
        case '\t': return "\\t";
        case '\\': return "\\\\";
        default: break;
    }
    std::array<char, 16> buffer{};
    const char* format = character < 0x100 ? "\\x%02x" : character < 0x10000 ? "\\u%04x" : "\\U%08x";
    std::snprintf(buffer.data(), buffer.size(), format, static_cast<unsigned>(character));
    return buffer.data();
}

char quote_for(std::string_view text) {
    const bool single = text.find('\'') != std::string_view::npos;
    return single && text.find('"') == std::string_view::npos ? '"' : '\'';
}

}  // namespace

std::string python_repr(std::string_view text) {
    const char quote = quote_for(text);
    std::string result(1, quote);
    for (const char32_t character : code_points(text)) {
        if (character == static_cast<char32_t>(quote)) {
            result += '\\';
            result += quote;
        } else if (character == '\\' || !printable(character)) {
            result += escaped(character);
        } else {
            result += utf8(character);
        }
    }
    return result + quote;
}

std::string python_repr_bytes(std::string_view bytes) {
    const char quote = quote_for(bytes);
    std::string result = std::string("b") + quote;
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        if (byte == quote) {
            result += std::string("\\") + quote;
        } else if (value < 0x20 || value >= 0x7F || value == '\\') {
            result += escaped(value);
        } else {
            result += byte;
        }
    }
    return result + quote;
}

std::string python_repr(double value) {
    if (std::isnan(value)) {
        return "nan";
    }
    if (std::isinf(value)) {
        return value > 0 ? "inf" : "-inf";
    }
    std::array<char, 40> buffer{};
    // The shortest digits that read back as the value; Python writes an exponent from 1e16 and below 1e-4.
    const double size = std::fabs(value);
    const bool exponent = size != 0.0 && (size >= 1e16 || size < 1e-4);
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                   exponent ? std::chars_format::scientific : std::chars_format::fixed);
    std::string text(buffer.data(), end.ptr);
    return exponent || text.find('.') != std::string::npos ? text : text + ".0";
}

std::string python_ids(Span<const std::int64_t> values) {
    std::vector<std::string> parts;
    for (const std::int64_t value : values) {
        parts.push_back(std::to_string(value));
    }
    return "[" + joined(parts, ", ") + "]";
}

std::string python_names(const std::vector<std::string>& values) {
    std::vector<std::string> parts;
    for (const std::string& value : values) {
        parts.push_back(python_repr(std::string_view(value)));
    }
    return "[" + joined(parts, ", ") + "]";
}

std::string python_value(const Json& value) {
    switch (value.type()) {
        case Json::value_t::string: return python_repr(std::string_view(value.get_ref<const std::string&>()));
        case Json::value_t::boolean: return value.get<bool>() ? "True" : "False";
        case Json::value_t::number_float: return python_repr(value.get<double>());
        case Json::value_t::number_integer:
        case Json::value_t::number_unsigned: return value.dump();
        case Json::value_t::array: {
            std::vector<std::string> parts;
            for (const Json& item : value) {
                parts.push_back(python_value(item));
            }
            return "[" + joined(parts, ", ") + "]";
        }
        case Json::value_t::object: {
            std::vector<std::string> parts;
            for (const auto& [key, item] : value.items()) {
                parts.push_back(python_repr(std::string_view(key)) + ": " + python_value(item));
            }
            return "{" + joined(parts, ", ") + "}";
        }
        default: return "None";
    }
}

std::string fixed(double value, int digits) {
    std::array<char, 400> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
    return {buffer.data(), static_cast<std::size_t>(length)};
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
    std::string text;
    for (std::size_t index = 0; index < parts.size(); ++index) {
        text += index == 0 ? "" : separator;
        text += parts[index];
    }
    return text;
}

std::string python_path(const std::string& text) {
    std::vector<std::string> parts;
    std::size_t start = 0;
    while (start <= text.size()) {
        const std::size_t end = std::min(text.find('/', start), text.size());
        const std::string part = text.substr(start, end - start);
        if (!part.empty() && part != ".") {
            parts.push_back(part);
        }
        start = end + 1;
    }
    const std::string path = (!text.empty() && text.front() == '/' ? "/" : "") + joined(parts, "/");
    return path.empty() ? "." : path;
}

std::string json_text(std::string_view text) {
    return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace s2t
