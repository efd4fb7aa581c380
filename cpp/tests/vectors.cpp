#include "vectors.h"

#include <cmath>
#include <cstdlib>

namespace s2t::tests {

namespace {

std::string setting(const char* name) {
    const char* const value = std::getenv(name);
    REQUIRE_MESSAGE(value != nullptr, name << " is not set; run ctest, or make test-cpp");
    return value;
}

}  // namespace

std::string bundle_path() { return setting("S2T_TEST_BUNDLE"); }

std::string vector_path(const std::string& name) { return setting("S2T_TEST_VECTORS") + "/" + name; }

Json document(const std::string& path) { return Json::parse(read_file(path)); }

Json vectors(const std::string& name) { return document(vector_path(name))["cases"]; }

LoadOptions one_thread() {
    LoadOptions options;
    options.threads = 1;
    return options;
}

const Model& digits() {
    static const Model model = Model::load(bundle_path(), one_thread());
    return model;
}

Recording golden_audio(const std::string& name) { return read_wav(vector_path("audio/" + name + ".wav")); }

std::vector<Recording> golden_recordings(const Json& names) {
    std::vector<Recording> recordings;
    for (const Json& name : names) {
        recordings.push_back(golden_audio(name.get<std::string>()));
    }
    return recordings;
}

std::vector<Span<const float>> samples_of(const std::vector<Recording>& recordings) {
    std::vector<Span<const float>> samples;
    for (const Recording& recording : recordings) {
        samples.emplace_back(recording.samples);
    }
    return samples;
}

bool close(double one, double other) {
    const auto bounded = [](double value) { return std::isnan(value) ? 1e300 : std::max(value, -3e38); };
    // Of large scores (a negative length penalty multiplies) single precision has no more digits.
    return std::fabs(bounded(one) - bounded(other)) <= std::max(1e-4, 1e-6 * std::fabs(bounded(other)));
}

}  // namespace s2t::tests
