#include "sessions/session.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <memory>

#include "messages/python_text.h"
#include "sessions/default_threads.h"
#include "sessions/int8_overflow.h"
#include "sessions/linked_weights.h"

namespace s2t {

namespace {

/// What `provider` may be, and what ONNX Runtime calls it.
constexpr std::array<std::pair<const char*, const char*>, 2> providers{
    {{"cpu", "CPUExecutionProvider"}, {"cuda", "CUDAExecutionProvider"}}};

/// How long threads spin where nobody says, and the ONNX Runtime that brought the limit, as in s2t_runtime: older ones
/// would spin on, so there they sleep.
constexpr const char* brief_us = "50";
constexpr unsigned long limits_spinning = 26;  // of 1.26
constexpr int most_threads = 1024;  // of more ONNX Runtime makes none, or none that help

const char* full_name_of(const std::string& provider) {
    std::vector<std::string> known;
    for (const auto& [name, full_name] : providers) {
        if (provider == name) {
            return full_name;
        }
        known.emplace_back(name);
    }
    throw OptionError(say("session.provider",
                          {{"provider", python_repr(std::string_view(provider))}, {"known", joined(known, ", ")}}));
}

void check_available(const std::string& provider, const std::string& full_name) {
    const std::vector<std::string> offered =
        mapped_errors("listing its providers", [] { return Ort::GetAvailableProviders(); });
    if (std::find(offered.begin(), offered.end(), full_name) == offered.end()) {
        throw SessionError(say("session.no_provider", {{"provider", python_repr(std::string_view(provider))},
                                                       {"needed", full_name},
                                                       {"offered", joined(offered, ", ")}}));
    }
}

/// Products of float32 are to be float32: by default they have TF32's 10 bits from Ampere on.
void append_cuda(Ort::SessionOptions& options) {
    const OrtApi& api = Ort::GetApi();
    OrtCUDAProviderOptionsV2* made = nullptr;
    Ort::ThrowOnError(api.CreateCUDAProviderOptions(&made));
    const std::unique_ptr<OrtCUDAProviderOptionsV2, decltype(api.ReleaseCUDAProviderOptions)> cuda(
        made, api.ReleaseCUDAProviderOptions);
    const char* const name = "use_tf32";
    const char* const value = "0";
    Ort::ThrowOnError(api.UpdateCUDAProviderOptions(cuda.get(), &name, &value, 1));
    options.AppendExecutionProvider_CUDA_V2(*cuda);
}

/// How a session computes.
struct Computing {
    std::string provider;
    int threads;
    std::optional<bool> spin;  // between operators
    bool int8;
};

Ort::SessionOptions session_options(const Computing& computing, bool exact_products) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(computing.threads);
    const bool briefly = !computing.spin && spins_briefly(OrtGetApiBase()->GetVersionString());
    options.AddConfigEntry("session.intra_op.allow_spinning", briefly || computing.spin.value_or(false) ? "1" : "0");
    if (briefly) {
        options.AddConfigEntry("session.intra_op.spin_duration_us", brief_us);
    }
    // It would keep a plan of the memory for every shape, each length of audio and of text: 1 MB in 100 calls.
    options.DisableMemPattern();
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);  // what fails is thrown
    if (exact_products) {
        options.AddConfigEntry("session.x64quantprecision", "1");
    }
    if (computing.provider == "cuda") {
        append_cuda(options);
    }
    return options;
}

Ort::Session load(const Ort::Env& env, const Bundle& bundle, const std::string& graph, const Computing& computing,
                  LoadOptions::Weights held) {
    const std::string path = bundle.path_of(graph);
    const std::filesystem::path file(path);
    return mapped_errors("loading " + file.filename().string(), [&] {
        Ort::SessionOptions options = session_options(computing, computing.int8 && products_overflow(env));
        const std::vector<std::string> beside = bundle.weights_beside(graph);
        if (held == LoadOptions::Weights::memory) {
            const std::vector<std::string> read = read_weights(options, beside);
            return Ort::Session(env, file.c_str(), options);
        }
        const std::vector<MappedFile> mapped = linked_weights(options, path, beside);
        return Ort::Session(env, file.c_str(), options);
    });
}

/// Bytes of a graph's weights, which its files are named after: fp32/encoder.onnx.data, fp32/decoder.onnx.data.
std::int64_t weights_of(const Manifest& manifest, const std::string& precision, const char* graph) {
    const std::string name = precision + "/" + graph + ".onnx.data";
    const auto file =
        std::find_if(manifest.files.begin(), manifest.files.end(), [&](const auto& one) { return one.first == name; });
    return file == manifest.files.end() ? 0 : file->second.size;
}

bool begins_with(const std::string& text, std::string_view beginning) {
    return text.compare(0, beginning.size(), beginning) == 0;
}

DecoderGraph decoder_graph(const PrecisionInfo& graphs, const DecoderInfo& info) {
    DecoderGraph decoder;
    decoder.info = info;
    for (const TensorInfo& tensor : graphs.encoder.outputs) {
        if (begins_with(tensor.name, "cross_")) {
            decoder.cross_names.push_back(tensor.name);
        }
    }
    for (const TensorInfo& tensor : graphs.decoder_with_past.inputs) {
        if (begins_with(tensor.name, "past_")) {
            decoder.past_names.push_back(tensor.name);
            decoder.present_names.push_back("present_" + tensor.name.substr(5));
            decoder.past_type = element_type(tensor.dtype);
        }
    }
    return decoder;
}

}  // namespace

bool spins_briefly(const std::string& version) {
    std::size_t dot = 0;
    const unsigned long major = std::stoul(version, &dot);
    return major > 1 || (major == 1 && std::stoul(version.substr(dot + 1)) >= limits_spinning);
}

void check_runtime(bool found, const std::string& version) {
    if (!found) {
        throw SessionError(say("session.too_old", {{"version", version}, {"wanted", std::to_string(ORT_API_VERSION)}}));
    }
}

OnnxSession::OnnxSession(const Bundle& bundle, const std::string& precision, const std::string& provider,
                         std::optional<int> threads, std::optional<bool> spin, LoadOptions::Weights weights) {
    const OrtApiBase* const base = OrtGetApiBase();
    check_runtime(base->GetApi(ORT_API_VERSION) != nullptr, base->GetVersionString());
    const Manifest& manifest = bundle.manifest();
    const char* const full_name = full_name_of(provider);
    const PrecisionInfo& graphs = bundle.precision(precision);
    if (threads && (*threads < 1 || *threads > most_threads)) {
        throw OptionError(say("session.threads", {{"threads", std::to_string(*threads)}}));
    }
    if (provider != "cpu" && graphs.base == "int8") {
        throw OptionError(say("session.cpu_only", {{"precision", python_repr(std::string_view(precision))},
                                                   {"provider", python_repr(std::string_view(provider))}}));
    }
    check_available(provider, full_name);
    decoder_ = decoder_graph(graphs, manifest.decoder);
    mapped_errors("making its environment", [&] {
        env_ = Ort::Env(ORT_LOGGING_LEVEL_ERROR, "s2t");
        decoder_.host = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
        decoder_.device = provider == "cuda" ? Ort::MemoryInfo("Cuda", OrtDeviceAllocator, 0, OrtMemTypeDefault)
                                             : Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    });
    const Computing computing{provider, threads ? *threads : default_threads().count, spin,
                              graphs.base == "int8"};
    const auto loaded = [&](const GraphInfo& graph) { return load(env_, bundle, graph.path, computing, weights); };
    const auto load_encoder = [&] { encoder_ = loaded(graphs.encoder); };
    const auto load_decoder = [&] { decoder_.session = loaded(graphs.decoder_with_past); };
    // For a moment a session holds its weights twice, in the mapped file and packed. With the larger graph first it is
    // the smaller one that pays that on top of the other.
    if (weights_of(manifest, precision, "encoder") >= weights_of(manifest, precision, "decoder")) {
        load_encoder();
        load_decoder();
    } else {
        load_decoder();
        load_encoder();
    }
}

Encoded OnnxSession::encode(Span<const Span<const float>> utterances, bool padding_safe) const {
    const bool equal = std::all_of(utterances.begin(), utterances.end(),
                                   [&](const auto& one) { return one.size() == utterances[0].size(); });
    if (padding_safe || equal) {
        return encode_padded(utterances, decoder_.device);
    }
    std::vector<Encoded> parts;
    for (std::size_t index = 0; index < utterances.size(); ++index) {
        parts.push_back(encode_padded(utterances.subspan(index, 1), decoder_.host));
    }
    return stacked(parts);
}

Encoded OnnxSession::encode_padded(Span<const Span<const float>> utterances, const Ort::MemoryInfo& place) const {
    const std::size_t batch = utterances.size();
    std::vector<std::int64_t> lengths;
    for (const auto& utterance : utterances) {
        lengths.push_back(static_cast<std::int64_t>(utterance.size()));
    }
    const auto longest = static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
    // One utterance is fed from the caller's memory. The interface could write to it; inputs are only read.
    float* audio = const_cast<float*>(utterances[0].data());
    std::vector<float> padded;
    if (batch > 1) {
        padded.assign(batch * longest, 0.0F);
        audio = padded.data();
        for (std::size_t row = 0; row < batch; ++row) {
            std::copy(utterances[row].begin(), utterances[row].end(), audio + row * longest);
        }
    }
    return mapped_errors("encoding " + std::to_string(batch) + " x " + std::to_string(longest) + " samples", [&] {
        const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(batch), static_cast<std::int64_t>(longest)};
        const Ort::MemoryInfo& host = decoder_.host;
        Ort::IoBinding binding(encoder_);
        binding.BindInput("audio", Ort::Value::CreateTensor<float>(host, audio, batch * longest, shape.data(), 2));
        binding.BindInput("audio_lengths",
                          Ort::Value::CreateTensor<std::int64_t>(host, lengths.data(), batch, shape.data(), 1));
        binding.BindOutput("encoder_mask", place);
        for (const std::string& name : decoder_.cross_names) {
            binding.BindOutput(name.c_str(), place);
        }
        encoder_.Run(Ort::RunOptions{nullptr}, binding);
        std::vector<Ort::Value> outputs = binding.GetOutputValues();
        Encoded encoded;
        encoded.mask = std::move(outputs.front());
        encoded.cross.assign(std::make_move_iterator(outputs.begin() + 1), std::make_move_iterator(outputs.end()));
        encoded.batch = batch;
        return encoded;
    });
}

/// Join utterances that were encoded alone. Padded frames are masked, so they never reach a result.
Encoded OnnxSession::stacked(const std::vector<Encoded>& parts) const {
    return mapped_errors("stacking encoded utterances", [&] {
        Encoded result;
        result.batch = parts.size();
        std::vector<const Ort::Value*> masks;
        for (const Encoded& part : parts) {
            masks.push_back(&part.mask);
        }
        result.mask = joined_values(masks, 1);
        for (std::size_t index = 0; index < decoder_.cross_names.size(); ++index) {
            std::vector<const Ort::Value*> values;
            for (const Encoded& part : parts) {
                values.push_back(&part.cross[index]);
            }
            result.cross.push_back(joined_values(values, 2));
        }
        return result;
    });
}

}  // namespace s2t
