/// ONNX Runtime's sessions of a bundle: the encoder and the decoder of one precision, loaded once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bundles/bundle.h"
#include "s2t/span.h"
#include "sessions/decoder_state.h"
#include "sessions/onnx_values.h"

namespace s2t {

/// Shared by threads; each decoding owns its cache.
///
/// The graph with past also serves the first step, with an empty past, so that the decoder's weights are held once.
class OnnxSession {
  public:
    /// Throws OptionError (an unknown provider or precision, an impossible thread count, int8 on a GPU), SessionError
    /// (this ONNX Runtime is too old or cannot use the provider, or a graph cannot be loaded).
    OnnxSession(const Bundle& bundle, const std::string& precision, const std::string& provider,
                std::optional<int> threads, std::optional<bool> spin = std::nullopt,
                LoadOptions::Weights weights = LoadOptions::Weights::mapped);

    /// Encode each utterance as if it were alone, and stack them for one decoder batch.
    ///
    /// Where padding changes an utterance's states, utterances of different lengths are encoded one by one.
    Encoded encode(Span<const Span<const float>> utterances, bool padding_safe) const;

    /// Begin to decode these utterances. The state refers to the session and to `encoded`.
    DecoderState start(const Encoded& encoded) const { return {decoder_, encoded}; }

  private:
    Encoded encode_padded(Span<const Span<const float>> utterances, const Ort::MemoryInfo& place) const;
    Encoded stacked(const std::vector<Encoded>& parts) const;

    Ort::Env env_{nullptr};
    mutable Ort::Session encoder_{nullptr};  // Run is safe to call from many threads, but not const
    DecoderGraph decoder_;
};

/// Whether an ONNX Runtime of this version can limit how long threads spin; one that cannot would spin on.
bool spins_briefly(const std::string& version);

/// Refuse an ONNX Runtime that lacks the interface that this library was built for; `found` says whether it has it.
void check_runtime(bool found, const std::string& version);

}  // namespace s2t
