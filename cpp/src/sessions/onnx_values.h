/// The only header of the library that includes ONNX Runtime: its values, and its errors as ours.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <string>
#include <vector>

#include "messages/sentences.h"
#include "s2t/errors.h"

// What docs/cpp.md asks for; 1.18 computes other tokens than the checkpoint, and 1.17 cannot read the graphs.
static_assert(ORT_API_VERSION >= 21, "s2t needs ONNX Runtime 1.21 or later");

namespace s2t {

/// Call into ONNX Runtime; its exceptions become SessionError.
template <typename Call>
auto mapped_errors(const std::string& doing, Call call) {
    try {
        return call();
    } catch (const Ort::Exception& error) {
        throw SessionError(say("session.failed", {{"doing", doing}, {"error", error.what()}}));
    }
}

/// The type of states and caches that a manifest's dtype names.
ONNXTensorElementDataType element_type(const std::string& dtype);

/// Values on the host, [1, ..., size, ...] each, joined along the first axis; zeros stand behind what is shorter than
/// the longest on `axis`.
Ort::Value joined_values(const std::vector<const Ort::Value*>& parts, std::size_t axis);

}  // namespace s2t
