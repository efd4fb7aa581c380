#include "output.h"

#include <cmath>
#include <vector>

#include "messages/python_text.h"
#include "messages/utf8.h"

namespace s2t::cli {

namespace {

std::string number(double value) { return std::isfinite(value) ? python_repr(value) : "null"; }

std::string score(float value) { return number(static_cast<double>(value)); }

std::string hypothesis_record(const Hypothesis& one) {
    return R"({"text": )" + json_text(one.text) + R"(, "tokens": )" + python_ids(one.tokens) + R"(, "score": )" +
           score(one.score) + "}";
}

}  // namespace

std::string json_record(const Outcome& outcome) {
    const std::string audio = R"({"audio": )" + json_text(outcome.audio);
    if (const auto* const error = std::get_if<std::string>(&outcome.answer)) {
        return audio + R"(, "error": )" + json_text(one_line(*error)) + "}";
    }
    const Result& result = std::get<Result>(outcome.answer);
    std::vector<std::string> hypotheses;
    for (const Hypothesis& one : result.hypotheses) {
        hypotheses.push_back(hypothesis_record(one));
    }
    const Timings& times = result.timings_s;
    return audio + R"(, "text": )" + json_text(result.text) + R"(, "language": )" +
           (result.language ? json_text(*result.language) : "null") + R"(, "score": )" + score(result.score) +
           R"(, "tokens": )" + python_ids(result.tokens) + R"(, "hypotheses": [)" + joined(hypotheses, ", ") +
           R"(], "audio_s": )" + number(result.audio_s) + R"(, "timings_s": {"encoder": )" + number(times.encoder) +
           R"(, "first_step": )" + number(times.first_step) + R"(, "decode": )" + number(times.decode) +
           R"(, "total": )" + number(times.total) + "}}";
}

std::string json_record(const std::string& audio, const TokenEvent& event) {
    return R"({"audio": )" + json_text(audio) + R"(, "sequence": )" + std::to_string(event.sequence) +
           R"(, "text_so_far": )" + json_text(event.text) + R"(, "tokens_so_far": )" + python_ids(event.tokens) +
           R"(, "final": )" + (event.final ? "true" : "false") + "}";
}

std::string lines(const Outcome& outcome) {
    const auto* const result = std::get_if<Result>(&outcome.answer);
    if (result == nullptr) {
        return "";
    }
    std::string figures = result->language ? *result->language + ", " : "";
    figures += "score " + fixed(static_cast<double>(result->score), 4) + ", " + fixed(result->audio_s, 2) +
               " s, real-time factor " + fixed(outcome.real_time_factor, 3);
    std::string text = one_line(outcome.audio) + ": " + one_line(result->text) + "  (" + figures + ")\n";
    for (std::size_t rank = 1; rank < result->hypotheses.size(); ++rank) {
        const Hypothesis& one = result->hypotheses[rank];
        text += "    " + std::to_string(rank + 1) + ". " + one_line(one.text) + "  (score " +
                fixed(static_cast<double>(one.score), 4) + ")\n";
    }
    return text;
}

std::string one_line(const std::string& text) {
    std::string result;
    for (const char32_t character : code_points(text)) {
        const bool control =
            character < 32 || (character >= 127 && character < 160) || character == 0x2028 || character == 0x2029;
        result += control ? " " : utf8(character);
    }
    return result;
}

}  // namespace s2t::cli
