// s2t-bench: decodes one recording for each line of standard input and prints one JSON object for it, so that
// benchmarks/cpp_host.py can take turns between this and Python.
//
//     s2t-bench BUNDLE AUDIO.wav [PRECISION [THREADS]] < options

#include <algorithm>
#include <chrono>
#include <iostream>
#include <numeric>

#include <nlohmann/json.hpp>

#include "bundles/bundle.h"
#include "messages/python_text.h"
#include "options/plan.h"
#include "options/values.h"
#include "s2t/s2t.h"
#include "search/search.h"
#include "sessions/session.h"
#include "text/detokenizer.h"
#include "text/vocabulary.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What Model holds, laid open so that a decoding can be timed by its parts.
struct Loaded {
    Loaded(const std::string& path, const std::string& precision, std::optional<int> threads)
        : bundle(s2t::Bundle::open(path, s2t::LoadOptions::Verify::fast)),
          session(bundle, precision.empty() ? bundle.manifest().default_precision : precision, "cpu", threads),
          vocabulary(s2t::Vocabulary::read(bundle.path_of("vocabulary.bin"))),
          context{s2t::options_from_values(*bundle.manifest().generation),
                  {bundle.manifest().languages.begin(), bundle.manifest().languages.end()},
                  bundle.output_vocabulary(),
                  bundle.manifest().decoder.max_positions} {}

    s2t::Bundle bundle;
    s2t::OnnxSession session;
    s2t::Vocabulary vocabulary;
    s2t::PlanContext context;
};

/// Decode once; `line` holds the decoding options as JSON.
std::string decode(const Loaded& loaded, const s2t::Recording& recording, const std::string& line) {
    const s2t::Manifest& manifest = loaded.bundle.manifest();
    const s2t::GenerateOptions options = s2t::options_from_values(s2t::Json::parse(line));
    const s2t::Span<const float> audio(recording.samples);
    const Clock::time_point started = Clock::now();
    const s2t::SearchPlan plan = s2t::plan_search(loaded.context, options);
    const s2t::Encoded encoded = loaded.session.encode({&audio, 1}, manifest.audio.padding_safe);
    const double encoder_s = seconds_since(started);
    const Clock::time_point decoding = Clock::now();
    s2t::DecoderState state = loaded.session.start(encoded);
    const auto most = static_cast<std::size_t>(manifest.decoder.max_candidates);
    const s2t::SearchResult found = s2t::search(state, plan, 1, most, {});
    const double decoder_s = seconds_since(decoding);
    const std::vector<std::int64_t>& tokens = found.hypotheses.front().front().tokens;
    const std::string text =
        manifest.detokenizer ? s2t::join_tokens(loaded.vocabulary.texts(tokens), *manifest.detokenizer) : "";
    const double total_s = seconds_since(started);
    const double inside_s = std::accumulate(state.run_times_s().begin(), state.run_times_s().end(), 0.0);
    s2t::Json record;
    record["total_s"] = total_s;
    record["encoder_s"] = encoder_s;
    const std::size_t steps = std::max<std::size_t>(1, state.run_times_s().size());
    record["steps"] = steps;
    record["own_s_a_step"] = (decoder_s - inside_s) / static_cast<double>(steps);
    record["tokens"] = tokens;
    record["text"] = text;
    return record.dump();
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) {
        std::cerr << "usage: s2t-bench BUNDLE AUDIO.wav [PRECISION [THREADS]] < options\n";
        return 2;
    }
    try {
        const std::optional<int> threads = count > 4 ? std::optional(std::stoi(arguments[4])) : std::nullopt;
        const Loaded loaded(arguments[1], count > 3 ? arguments[3] : "", threads);
        const auto rate = static_cast<int>(loaded.bundle.manifest().audio.sampling_rate);
        const s2t::Recording recording = s2t::resampled(s2t::read_wav(arguments[2]), rate);
        for (std::string line; std::getline(std::cin, line);) {
            std::cout << decode(loaded, recording, line) << std::endl;
        }
    } catch (const s2t::Error& error) {
        std::cerr << "s2t-bench: error: " << error.what() << '\n';
        return 1;
    }
}
