/// Values as Python writes them in messages and in JSON, so that both hosts say the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "s2t/span.h"

namespace s2t {

using Json = nlohmann::ordered_json;

std::string python_repr(std::string_view text);
std::string python_repr_bytes(std::string_view bytes);
std::string python_repr(double value);
std::string python_ids(Span<const std::int64_t> values);
std::string python_names(const std::vector<std::string>& values);

/// repr() of what json.loads makes of the value.
std::string python_value(const Json& value);

/// f"{value:.{digits}f}"
std::string fixed(double value, int digits);

std::string joined(const std::vector<std::string>& parts, std::string_view separator);

/// str(pathlib.Path(text)) of a POSIX path: no doubled or final slashes, no "." in between.
std::string python_path(const std::string& text);

/// json.dumps(text, ensure_ascii=False)
std::string json_text(std::string_view text);

}  // namespace s2t
