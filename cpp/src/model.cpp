#include "s2t/model.h"

#include <chrono>
#include <new>
#include <utility>

#include "audio/audio_check.h"
#include "bundles/bundle.h"
#include "bundles/replacement.h"
#include "messages/python_text.h"
#include "messages/sentences.h"
#include "options/plan.h"
#include "options/values.h"
#include "search/search.h"
#include "sessions/loading_process.h"
#include "sessions/session.h"
#include "text/detokenizer.h"
#include "text/vocabulary.h"

namespace s2t {

namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::time_point start, Clock::time_point end) {
    return std::chrono::duration<double>(end - start).count();
}

Detokenizer detokenizer_of(const Bundle& bundle) {
    if (!bundle.manifest().detokenizer) {
        throw BundleError(say("detokenizer.none", {{"root", bundle.root()}}));
    }
    return *bundle.manifest().detokenizer;
}

PlanContext context_of(const Bundle& bundle) {
    const Manifest& manifest = bundle.manifest();
    PlanContext context;
    context.defaults = options_from_values(*manifest.generation);
    context.languages = {manifest.languages.begin(), manifest.languages.end()};
    context.vocabulary = bundle.output_vocabulary();
    context.max_positions = manifest.decoder.max_positions;
    context.alone_ids = manifest.decoder.alone_ids;
    const DecoderInfo& decoder = manifest.decoder;
    const double cache_bytes = 2.0 * 4.0 * static_cast<double>(decoder.layers) * static_cast<double>(decoder.heads) *
                               static_cast<double>(decoder.head_dim);  // keys and values in float
    context.memory = {machine_bytes(), cache_bytes};
    return context;
}

}  // namespace

struct Model::Loaded {
    Loaded(Bundle opened, const std::string& precision, const LoadOptions& options)
        : bundle(std::move(opened)),
          session(std::make_shared<OnnxSession>(bundle, precision, options.provider, options.threads, options.spin,
                                                options.weights)),
          detokenizer(detokenizer_of(bundle)),
          vocabulary(Vocabulary::read(bundle.path_of("vocabulary.bin"))),
          context(context_of(bundle)) {}

    std::string text(const std::vector<std::int64_t>& tokens) const {
        return join_tokens(vocabulary.texts(tokens), detokenizer);
    }

    std::vector<Result> decode(Span<const Span<const float>> audio, const GenerateOptions& options) const;
    std::vector<Result> results(const SearchResult& found, Span<const Span<const float>> audio, const SearchPlan& plan,
                                const Timings& timings_s) const;

    Bundle bundle;
    LoadingProcess process;
    UnlessForked<OnnxSession> session;
    Detokenizer detokenizer;
    Vocabulary vocabulary;
    PlanContext context;
};

std::vector<Result> Model::Loaded::decode(Span<const Span<const float>> audio, const GenerateOptions& options) const {
    const Clock::time_point started = Clock::now();
    process.check();
    const SearchPlan plan = plan_search(context, options);
    for (const Span<const float>& utterance : audio) {
        check_audio(utterance, bundle.manifest().audio);
    }
    if (audio.empty()) {
        return {};
    }
    SearchCallbacks callbacks;
    callbacks.stop = options.stop;
    if (options.on_token) {
        callbacks.observe = [&](std::size_t utterance, const std::vector<std::int64_t>& tokens, bool final) {
            options.on_token({utterance, 0, tokens, text(tokens), final});
        };
    }
    const Clock::time_point encoding = Clock::now();
    // A callback may fork, and leave by an exception in the child.
    const UnlessForked<Encoded> encoded(
        std::make_shared<Encoded>(session->encode(audio, bundle.manifest().audio.padding_safe)));
    const Clock::time_point decoding = Clock::now();
    const UnlessForked<DecoderState> state(std::shared_ptr<DecoderState>(new DecoderState(session->start(*encoded))));
    const auto most = static_cast<std::size_t>(bundle.manifest().decoder.max_candidates);
    const SearchResult found = search(*state, plan, audio.size(), most, callbacks);
    const Clock::time_point ended = Clock::now();
    // Where every token was forced, nothing was computed.
    const double first_step = state->step_times_s().empty() ? 0.0 : state->step_times_s().front();
    return results(
        found, audio, plan,
        {seconds(encoding, decoding), first_step, seconds(decoding, ended) - first_step, seconds(started, ended)});
}

std::vector<Result> Model::Loaded::results(const SearchResult& found, Span<const Span<const float>> audio,
                                           const SearchPlan& plan, const Timings& timings_s) const {
    std::vector<Result> all;
    for (std::size_t utterance = 0; utterance < audio.size(); ++utterance) {
        Result result;
        for (const FoundHypothesis& one : found.hypotheses[utterance]) {
            result.hypotheses.push_back({text(one.tokens), one.tokens, one.score, one.log_probs});
        }
        const Hypothesis& best = result.hypotheses.front();
        result.text = best.text;
        result.tokens = best.tokens;
        result.score = best.score;
        result.language = plan.language;
        result.timings_s = timings_s;
        result.audio_s =
            static_cast<double>(audio[utterance].size()) / static_cast<double>(bundle.manifest().audio.sampling_rate);
        result.stopped = found.stopped;
        all.push_back(std::move(result));
    }
    return all;
}

Model Model::load(const std::string& path, const LoadOptions& options) {
    return Model(load_whole(python_path(path), [&] {
        Bundle bundle = Bundle::open(path, options.verify);
        const std::string precision =
            options.precision.empty() ? bundle.manifest().default_precision : options.precision;
        return std::make_unique<const Loaded>(std::move(bundle), precision, options);
    }));
}

Model::Model(std::unique_ptr<const Loaded> loaded) : loaded_(std::move(loaded)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result Model::generate(Span<const float> audio, const GenerateOptions& options) const {
    return std::move(generate_batch({&audio, 1}, options).front());
}

Result Model::generate(const Recording& recording, const GenerateOptions& options) const {
    if (recording.sampling_rate == sampling_rate()) {
        return generate(Span<const float>(recording.samples), options);
    }
    return generate(Span<const float>(resampled(recording, sampling_rate()).samples), options);
}

std::vector<Result> Model::generate_batch(Span<const Span<const float>> audio, const GenerateOptions& options) const {
    try {
        return loaded_->decode(audio, options);
    } catch (const std::bad_alloc&) {  // a vector of more than its most is refused before, as the plan is made
        const SearchPlan plan = plan_search(loaded_->context, options);
        throw SessionError(say("session.memory", {{"utterances", std::to_string(audio.size())},
                                                  {"beams", std::to_string(plan.num_beams)},
                                                  {"longest", std::to_string(plan.max_length)}}));
    }
}

void Model::check(const GenerateOptions& options) const { plan_search(loaded_->context, options); }

int Model::sampling_rate() const { return static_cast<int>(loaded_->bundle.manifest().audio.sampling_rate); }

const std::vector<std::int64_t>& Model::output_token_ids() const { return loaded_->context.vocabulary.listed(); }

const std::map<std::string, std::int64_t>& Model::languages() const { return loaded_->context.languages; }

}  // namespace s2t
