/// Results against what another host answers.
#pragma once

#include "vectors.h"

namespace s2t::tests {

/// What is different between the hypotheses of one utterance and those wanted; empty where nothing is.
std::string difference(const Result& got, const Json& wanted);

/// The options of a case, and its prefix function where it has `allowed` tokens.
GenerateOptions options_of(const Json& item);

/// A message of s2t_runtime with what this library calls itself and its own.
std::string as_of_this_library(std::string message);

/// Decode each case as one batch, and check that it gives the results of the case or its error. Returns how many were
/// refused.
std::size_t check_answers(const Model& model, const Json& cases);

}  // namespace s2t::tests
