/// JSON objects that are read field by field, every problem of a document named at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "messages/python_text.h"

namespace s2t {

using Problems = std::vector<std::string>;

/// A JSON value in a message: what it is, and the value itself where it is short.
std::string shown(const Json& value);

/// Whether the value is an integer that fits 64 bits with a sign; true and 1.0 are none.
bool is_integer(const Json& value);

/// The document of a text.
///
/// Throws BundleError: it is not JSON, or nested so deeply that whoever walks over it would run out of stack.
Json parsed_json(std::string_view text);

/// One object of a document. Fields that nobody asks for are ignored; what is wrong with the others is collected in
/// `problems` and not thrown, so what is read means something only where there are none.
///
/// It refers to the problems and to the value.
class RecordReader {
  public:
    /// `path` says where the object stands, for example "decoder"; empty is the whole manifest.
    RecordReader(Problems& problems, const Json& value, std::string path);

    std::int64_t integer(const char* name);
    std::int64_t integer_or(const char* name, std::int64_t fallback);
    std::optional<std::int64_t> integer_or_null(const char* name);
    double number(const char* name);
    std::string text(const char* name);
    std::optional<std::string> text_or_null(const char* name);
    std::string choice(const char* name, const std::vector<std::string>& allowed);
    bool flag(const char* name);
    bool flag_or(const char* name, bool fallback);

    /// A text that may be null or absent; `allowed` empty allows every one.
    std::optional<std::string> optional_text(const char* name, const std::vector<std::string>& allowed = {});

    RecordReader object(const char* name);

    /// An object that may be null or absent: unset then.
    std::optional<RecordReader> optional_object(const char* name);

    /// Each value of an object, by `read(value, path)`, in the order of the file.
    template <typename Read>
    auto mapping(const char* name, Read read) {
        using Value = decltype(read(std::declval<const Json&>(), std::string()));
        std::vector<std::pair<std::string, Value>> result;
        if (const Json* const value = structure(required(name), name, Json::value_t::object, "an object")) {
            for (const auto& [key, item] : value->items()) {
                result.emplace_back(key, read(item, inside(name) + "." + key));
            }
        }
        return result;
    }

    /// An object whose values are of no interest here.
    void any_mapping(const char* name);

    /// Each value of an array, by `read(value, path)`.
    template <typename Read>
    auto list(const char* name, Read read) {
        return items(required(name), name, read);
    }

    /// The same; an absent array is empty.
    template <typename Read>
    auto optional_list(const char* name, Read read) {
        return items(find(name), name, read);
    }

    /// Each integer of an array that may be null or absent: unset then.
    std::optional<std::vector<std::int64_t>> optional_integers(const char* name);

    /// The value of a field that is read elsewhere, nullptr where it is missing.
    const Json* required(const char* name);

    std::int64_t as_integer(const Json& value, const std::string& path);
    void wrong(const std::string& path, const Json& value, const std::string& wanted);
    Problems& problems() { return problems_; }

  private:
    const Json* find(const char* name) const;
    std::string inside(const char* name) const;

    /// The value where it is of a type; nullptr, and a problem, where it is of another.
    const Json* structure(const Json* value, const char* name, Json::value_t type, const char* wanted);

    template <typename Read>
    auto items(const Json* found, const char* name, Read read) {
        std::vector<decltype(read(std::declval<const Json&>(), std::string()))> result;
        if (const Json* const value = structure(found, name, Json::value_t::array, "an array")) {
            for (std::size_t index = 0; index < value->size(); ++index) {
                result.push_back(read((*value)[index], inside(name) + "[" + std::to_string(index) + "]"));
            }
        }
        return result;
    }

    std::string as_text(const Json& value, const std::string& path);
    std::string one_of(const Json& value, const std::string& path, const std::vector<std::string>& allowed);
    bool as_flag(const Json& value, const std::string& path);

    Problems& problems_;
    const Json* object_ = nullptr;  // nullptr: a problem was noted, and nothing is read
    std::string path_;
};

}  // namespace s2t
