/// What s2t-cli prints: lines, or the JSON lines of run-s2t.
#pragma once

#include <string>
#include <variant>

#include "s2t/result.h"

namespace s2t::cli {

/// What became of one recording: a result, or the message of an error.
struct Outcome {
    std::string audio;
    std::variant<Result, std::string> answer;
    double real_time_factor = 0.0;  ///< seconds of work per second of audio, over the batch
};

/// The JSON object of an outcome; a score that is not finite, which JSON cannot say, is null.
std::string json_record(const Outcome& outcome);

/// The JSON object of what is known so far.
std::string json_record(const std::string& audio, const TokenEvent& event);

/// The best text with its figures, further hypotheses below it; of an error nothing.
std::string lines(const Outcome& outcome);

/// On one line, without what could repaint a terminal.
std::string one_line(const std::string& text);

}  // namespace s2t::cli
