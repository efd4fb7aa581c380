#include "sessions/onnx_values.h"

#include <algorithm>
#include <cstdint>

namespace s2t {

namespace {

std::size_t element_size(ONNXTensorElementDataType type) {
    switch (type) {
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return 2;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL: return 1;
        default: return 4;
    }
}

std::size_t product(const std::vector<std::int64_t>& shape, std::size_t first, std::size_t last) {
    std::size_t result = 1;
    for (std::size_t axis = first; axis < last; ++axis) {
        result *= static_cast<std::size_t>(shape[axis]);
    }
    return result;
}

}  // namespace

ONNXTensorElementDataType element_type(const std::string& dtype) {
    return dtype == "float16" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

Ort::Value joined_values(const std::vector<const Ort::Value*>& parts, std::size_t axis) {
    const auto information = parts.front()->GetTensorTypeAndShapeInfo();
    const auto size_of = [&](const Ort::Value& part) { return part.GetTensorTypeAndShapeInfo().GetShape()[axis]; };
    std::vector<std::int64_t> shape = information.GetShape();
    shape[0] = static_cast<std::int64_t>(parts.size());
    for (const Ort::Value* const part : parts) {
        shape[axis] = std::max(shape[axis], size_of(*part));
    }
    Ort::AllocatorWithDefaultOptions allocator;
    Ort::Value result = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), information.GetElementType());
    const std::size_t inner = element_size(information.GetElementType()) * product(shape, axis + 1, shape.size());
    const std::size_t outer = product(shape, 1, axis);
    const std::size_t wide = inner * static_cast<std::size_t>(shape[axis]);
    char* target = result.GetTensorMutableData<char>();
    for (const Ort::Value* const part : parts) {
        const std::size_t own = inner * static_cast<std::size_t>(size_of(*part));
        const char* source = part->GetTensorData<char>();
        for (std::size_t row = 0; row < outer; ++row, source += own, target += wide) {
            std::fill(std::copy(source, source + own, target), target + wide, char{0});
        }
    }
    return result;
}

}  // namespace s2t
