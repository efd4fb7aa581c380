#include "sessions/decoder_state.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>

namespace s2t {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Floats floats_of(const Ort::Value& value) {
    return {value.GetTensorData<float>(), value.GetTensorTypeAndShapeInfo().GetElementCount()};
}

void check_count(const char* name, std::size_t got, std::size_t wanted) {
    if (got != wanted) {
        throw SessionError(
            say("session.outputs", {{"name", name}, {"got", std::to_string(got)}, {"wanted", std::to_string(wanted)}}));
    }
}

}  // namespace

DecoderState::DecoderState(const DecoderGraph& graph, const Encoded& encoded)
    : graph_(graph), binding_(nullptr), rows_(encoded.batch) {
    mapped_errors("making an empty cache", [&] {
        binding_ = Ort::IoBinding(graph.session);
        binding_.BindInput("encoder_mask", encoded.mask);
        for (std::size_t index = 0; index < graph.cross_names.size(); ++index) {
            binding_.BindInput(graph.cross_names[index].c_str(), encoded.cross[index]);
        }
        const std::array<std::int64_t, 4> shape{static_cast<std::int64_t>(encoded.batch), graph.info.heads, 0,
                                                graph.info.head_dim};
        Ort::AllocatorWithDefaultOptions allocator;
        for (std::size_t index = 0; index < graph.past_names.size(); ++index) {
            past_.push_back(Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), graph.past_type));
        }
    });
}

Candidates DecoderState::operator()(RowShape shape, Ids tokens, Ids beam_index, std::size_t candidates,
                                    bool with_logits) {
    const Clock::time_point started = Clock::now();
    process_.check();
    check_rows(beam_index);
    candidates_ = static_cast<std::int64_t>(candidates);
    const Candidates found = mapped_errors("running a decoder step", [&] {
        bind_inputs(shape, tokens, beam_index);
        bind_outputs(with_logits);
        const Clock::time_point running = Clock::now();
        graph_.session.Run(Ort::RunOptions{nullptr}, binding_);
        run_times_s_.push_back(seconds_since(running));
        take_outputs(with_logits);
        return scored(shape.rows(), with_logits);
    });
    rows_ = shape.rows();
    step_times_s_.push_back(seconds_since(started));
    return found;
}

void DecoderState::check_rows(Ids beam_index) const {
    // The graph gathers by these rows without a check of its own.
    const auto [least, most] = std::minmax_element(beam_index.begin(), beam_index.end());
    if (*least < 0 || *most >= static_cast<std::int64_t>(rows_)) {
        throw SessionError(
            say("session.rows",
                {{"first", std::to_string(*least)}, {"last", std::to_string(*most)}, {"rows", std::to_string(rows_)}}));
    }
}

void DecoderState::bind_inputs(RowShape shape, Ids tokens, Ids beam_index) {
    const std::array<std::int64_t, 3> sizes{static_cast<std::int64_t>(shape.batch),
                                            static_cast<std::int64_t>(shape.beams),
                                            static_cast<std::int64_t>(tokens.size() / shape.rows())};
    const auto feed = [&](const char* name, Ids values, std::size_t axes) {
        // A view, which the binding keeps. The interface takes memory that it could write to; inputs are only read.
        binding_.BindInput(name,
                           Ort::Value::CreateTensor<std::int64_t>(graph_.host, const_cast<std::int64_t*>(values.data()),
                                                                  values.size(), sizes.data(), axes));
    };
    feed("input_ids", tokens, 3);
    feed("beam_index", beam_index, 2);
    feed("candidates", {&candidates_, 1}, 0);
    for (std::size_t index = 0; index < past_.size(); ++index) {
        binding_.BindInput(graph_.past_names[index].c_str(), past_[index]);
    }
}

void DecoderState::bind_outputs(bool with_logits) {
    // Scores are read on the host; keys and values stay where they are computed. Outputs that are not bound are not
    // fetched: the logits of the whole vocabulary stay inside the graph.
    binding_.ClearBoundOutputs();
    binding_.BindOutput("candidate_log_probs", graph_.host);
    binding_.BindOutput("candidate_ids", graph_.host);
    if (with_logits) {
        binding_.BindOutput("logits", graph_.host);
    }
    for (const std::string& name : graph_.present_names) {
        binding_.BindOutput(name.c_str(), graph_.device);
    }
}

/// Keep what the step gave, in the order of `bind_outputs`: scores until the next step, the others as the cache.
void DecoderState::take_outputs(bool with_logits) {
    std::vector<Ort::Value> outputs = binding_.GetOutputValues();
    const auto cache = outputs.begin() + (with_logits ? 3 : 2);
    scores_.assign(std::make_move_iterator(outputs.begin()), std::make_move_iterator(cache));
    past_.assign(std::make_move_iterator(cache), std::make_move_iterator(outputs.end()));
}

/// Views of the scores. The search trusts sizes and ids, so a manifest that does not fit its graphs ends here.
Candidates DecoderState::scored(std::size_t rows, bool with_logits) const {
    const std::int64_t vocabulary = graph_.info.vocab_size;
    Candidates found;
    found.log_probs = floats_of(scores_[0]);
    check_count("candidate_log_probs", found.log_probs.size(), rows * static_cast<std::size_t>(candidates_));
    check_count("candidate_ids", scores_[1].GetTensorTypeAndShapeInfo().GetElementCount(), found.log_probs.size());
    found.ids = {scores_[1].GetTensorData<std::int64_t>(), found.log_probs.size()};
    const auto known = [&](std::int64_t id) { return id >= 0 && id < vocabulary; };
    if (!std::all_of(found.ids.begin(), found.ids.end(), known)) {
        throw SessionError(say("session.ids", {{"vocabulary", std::to_string(vocabulary)}}));
    }
    if (with_logits) {
        found.logits = floats_of(scores_[2]);
        check_count("logits", found.logits.size(), rows * static_cast<std::size_t>(graph_.info.written_tokens()));
    }
    return found;
}

}  // namespace s2t
