/// The bundle and the vectors that the tests compare with.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "bundles/bundle.h"
#include "bundles/read_file.h"
#include "messages/python_text.h"
#include "s2t/s2t.h"

namespace s2t::tests {

std::string bundle_path();

std::string vector_path(const std::string& name);

Json document(const std::string& path);

/// The cases of a file that tests/support/cpp/golden_vectors.py wrote.
Json vectors(const std::string& name);

LoadOptions one_thread();

/// The digits model, loaded once.
const Model& digits();

Recording golden_audio(const std::string& name);

std::vector<Recording> golden_recordings(const Json& names);

std::vector<Span<const float>> samples_of(const std::vector<Recording>& recordings);

/// Whether two scores are the same within 1e-4; infinities and what stands for them in JSON are.
bool close(double one, double other);

/// The message of the Error of a kind that a call throws.
template <typename Kind, typename Call>
std::string message_of(Call call) {
    try {
        call();
    } catch (const Kind& error) {
        return error.what();
    }
    FAIL("nothing was thrown");
    return "";
}

}  // namespace s2t::tests
