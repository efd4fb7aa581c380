#include "bundles/json_records.h"

#include <algorithm>
#include <cstdint>

#include "messages/sentences.h"
#include "messages/utf8.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

constexpr std::size_t shown_characters = 40;
constexpr int most_levels = 200;  // of nesting; a manifest has seven

}  // namespace

std::string shown(const Json& value) {
    if (value.is_structured()) {
        return value.is_object() ? "an object" : "an array";
    }
    std::string text = value.is_string()         ? json_text(value.get_ref<const std::string&>())
                       : value.is_number_float() ? python_repr(value.get<double>())
                                                 : value.dump();
    const std::u32string characters = code_points(text);
    if (characters.size() <= shown_characters) {
        return text;
    }
    text.clear();
    for (const char32_t character : characters.substr(0, shown_characters)) {
        text += utf8(character);
    }
    return text + "...";
}

bool is_integer(const Json& value) {
    return value.is_number_integer() &&
           !(value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX));
}

Json parsed_json(std::string_view text) {
    const auto refused = [](const std::string& error) {
        return BundleError(say("manifest.not_json", {{"error", error}}));
    };
    if (text.substr(0, 3) == "\xEF\xBB\xBF") {  // nlohmann_json would skip it, Python's parser does not
        throw refused("it begins with a byte order mark");
    }
    const auto check_depth = [&](int depth, Json::parse_event_t /*event*/, Json& /*value*/) {
        if (depth > most_levels) {
            throw refused("it is nested more than " + std::to_string(most_levels) + " levels deep");
        }
        return true;
    };
    try {
        return Json::parse(text, check_depth);
    } catch (const Json::exception& error) {
        throw refused(error.what());
    }
}

RecordReader::RecordReader(Problems& problems, const Json& value, std::string path)
    : problems_(problems), path_(std::move(path)) {
    if (value.is_object()) {
        object_ = &value;
    } else {
        wrong(path_.empty() ? "the manifest" : path_, value, "an object");
    }
}

std::int64_t RecordReader::integer(const char* name) {
    const Json* const value = required(name);
    return value == nullptr ? 0 : as_integer(*value, inside(name));
}

std::int64_t RecordReader::integer_or(const char* name, std::int64_t fallback) {
    const Json* const value = find(name);
    return value == nullptr ? fallback : as_integer(*value, inside(name));
}

std::optional<std::int64_t> RecordReader::integer_or_null(const char* name) {
    const Json* const value = required(name);
    return value == nullptr || value->is_null() ? std::nullopt : std::optional(as_integer(*value, inside(name)));
}

double RecordReader::number(const char* name) {
    const Json* const value = required(name);
    if (value == nullptr || value->is_number()) {
        return value == nullptr ? 0.0 : value->get<double>();
    }
    wrong(inside(name), *value, "a number");
    return 0.0;
}

std::string RecordReader::text(const char* name) {
    const Json* const value = required(name);
    return value == nullptr ? "" : as_text(*value, inside(name));
}

std::optional<std::string> RecordReader::text_or_null(const char* name) {
    const Json* const value = required(name);
    return value == nullptr || value->is_null() ? std::nullopt : std::optional(as_text(*value, inside(name)));
}

std::string RecordReader::choice(const char* name, const std::vector<std::string>& allowed) {
    const Json* const value = required(name);
    return value == nullptr ? "" : one_of(*value, inside(name), allowed);
}

bool RecordReader::flag(const char* name) {
    const Json* const value = required(name);
    return value != nullptr && as_flag(*value, inside(name));
}

bool RecordReader::flag_or(const char* name, bool fallback) {
    const Json* const value = find(name);
    return value == nullptr ? fallback : as_flag(*value, inside(name));
}

std::optional<std::string> RecordReader::optional_text(const char* name, const std::vector<std::string>& allowed) {
    const Json* const value = find(name);
    return value == nullptr || value->is_null() ? std::nullopt : std::optional(one_of(*value, inside(name), allowed));
}

RecordReader RecordReader::object(const char* name) {
    static const Json empty = Json::object();
    const Json* const value = required(name);
    RecordReader reader(problems_, value == nullptr ? empty : *value, inside(name));
    if (value == nullptr) {
        reader.object_ = nullptr;  // that it is missing has been said
    }
    return reader;
}

std::optional<RecordReader> RecordReader::optional_object(const char* name) {
    const Json* const value = find(name);
    return value == nullptr || value->is_null() ? std::nullopt
                                                : std::optional(RecordReader(problems_, *value, inside(name)));
}

std::optional<std::vector<std::int64_t>> RecordReader::optional_integers(const char* name) {
    const Json* const value = find(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    return items(value, name, [&](const Json& item, const std::string& path) { return as_integer(item, path); });
}

void RecordReader::any_mapping(const char* name) {
    structure(required(name), name, Json::value_t::object, "an object");
}

const Json* RecordReader::required(const char* name) {
    const Json* const value = find(name);
    if (value == nullptr && object_ != nullptr) {
        problems_.push_back(say("manifest.field.missing", {{"path", inside(name)}}));
    }
    return value;
}

std::int64_t RecordReader::as_integer(const Json& value, const std::string& path) {
    if (is_integer(value)) {
        return value.get<std::int64_t>();
    }
    wrong(path, value, "an integer");
    return 0;
}

void RecordReader::wrong(const std::string& path, const Json& value, const std::string& wanted) {
    problems_.push_back(say("manifest.field.wrong", {{"path", path}, {"value", shown(value)}, {"wanted", wanted}}));
}

const Json* RecordReader::find(const char* name) const {
    if (object_ == nullptr) {
        return nullptr;
    }
    const auto found = object_->find(name);
    return found == object_->end() ? nullptr : &*found;
}

std::string RecordReader::inside(const char* name) const { return path_.empty() ? name : path_ + "." + name; }

const Json* RecordReader::structure(const Json* value, const char* name, Json::value_t type, const char* wanted) {
    if (value == nullptr || value->type() == type) {
        return value;
    }
    wrong(inside(name), *value, wanted);
    return nullptr;
}

std::string RecordReader::as_text(const Json& value, const std::string& path) {
    if (value.is_string()) {
        return value.get<std::string>();
    }
    wrong(path, value, "a text");
    return "";
}

std::string RecordReader::one_of(const Json& value, const std::string& path, const std::vector<std::string>& allowed) {
    std::string text = as_text(value, path);
    if (value.is_string() && !allowed.empty() && std::find(allowed.begin(), allowed.end(), text) == allowed.end()) {
        wrong(path, value, "one of " + joined(allowed, ", "));
    }
    return text;
}

bool RecordReader::as_flag(const Json& value, const std::string& path) {
    if (value.is_boolean()) {
        return value.get<bool>();
    }
    wrong(path, value, "true or false");
    return false;
}

}  // namespace s2t
