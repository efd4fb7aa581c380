/// A decoder graph, and one decoding in progress that steps it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "sessions/loading_process.h"
#include "sessions/onnx_values.h"
#include "sessions/step.h"

namespace s2t {

/// Encoded utterances: what every decoder step attends to.
struct Encoded {
    Ort::Value mask{nullptr};       ///< bool [batch, frames]
    std::vector<Ort::Value> cross;  ///< cross_key.N, cross_value.N [batch, heads, frames, head_dim], layer by layer
    std::size_t batch = 0;
};

/// The graph with past, loaded once and shared by all decodings.
struct DecoderGraph {
    mutable Ort::Session session{nullptr};  // Run is safe to call from many threads, but not const
    Ort::MemoryInfo host{nullptr};
    Ort::MemoryInfo device{nullptr};  ///< where keys and values stay
    std::vector<std::string> cross_names;
    std::vector<std::string> past_names;
    std::vector<std::string> present_names;
    ONNXTensorElementDataType past_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    DecoderInfo info;
};

/// One decoding in progress: a step that owns its cache.
///
/// Keys and values stay values of ONNX Runtime from one run to the next, of whatever type the graph gives them; only
/// candidates (and logits, where a rule needs them) are read. It refers to the graph and to what was encoded.
class DecoderState final : public Step {
  public:
    DecoderState(const DecoderGraph& graph, const Encoded& encoded);

    /// Throws SessionError: beam_index points outside the cache, the graph gives what its manifest does not say, ONNX
    /// Runtime failed, or a callback has forked and this is the child.
    Candidates operator()(RowShape shape, Ids tokens, Ids beam_index, std::size_t candidates,
                          bool with_logits) override;

    /// Seconds that each step took, and of these the seconds inside ONNX Runtime's Run, in order.
    const std::vector<double>& step_times_s() const { return step_times_s_; }
    const std::vector<double>& run_times_s() const { return run_times_s_; }

  private:
    void check_rows(Ids beam_index) const;
    void bind_inputs(RowShape shape, Ids tokens, Ids beam_index);
    void bind_outputs(bool with_logits);
    void take_outputs(bool with_logits);
    Candidates scored(std::size_t rows, bool with_logits) const;

    const DecoderGraph& graph_;
    LoadingProcess process_;
    Ort::IoBinding binding_;
    std::vector<Ort::Value> past_;    // the cache: [rows, heads, past, head_dim] each, a key and a value per layer
    std::vector<Ort::Value> scores_;  // what the last step's candidates are views of
    std::int64_t candidates_ = 0;     // fed from here
    std::size_t rows_ = 0;            // of the cache
    std::vector<double> step_times_s_;
    std::vector<double> run_times_s_;
};

}  // namespace s2t
