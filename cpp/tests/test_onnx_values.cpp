// Values of ONNX Runtime of the types that graphs of each precision have.

#include "sessions/onnx_values.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

/// [1, 2, size] with the numbers first, first + 1, ...
template <typename Element>
Ort::Value counted(std::int64_t size, int first) {
    Ort::AllocatorWithDefaultOptions allocator;
    const std::vector<std::int64_t> shape{1, 2, size};
    Ort::Value value = Ort::Value::CreateTensor<Element>(allocator, shape.data(), shape.size());
    for (std::int64_t place = 0; place < 2 * size; ++place) {
        value.GetTensorMutableData<Element>()[place] = Element(static_cast<float>(first + place));
    }
    return value;
}

template <typename Element>
void check_joined() {
    const Ort::Value small = counted<Element>(2, 1);
    const Ort::Value large = counted<Element>(3, 5);
    const Ort::Value joined = joined_values({&small, &large}, 2);
    const auto information = joined.GetTensorTypeAndShapeInfo();
    CHECK(information.GetElementType() == small.GetTensorTypeAndShapeInfo().GetElementType());
    CHECK(information.GetShape() == std::vector<std::int64_t>{2, 2, 3});
    std::vector<float> values;
    for (std::size_t place = 0; place < information.GetElementCount(); ++place) {
        values.push_back(static_cast<float>(joined.GetTensorData<Element>()[place]));
    }
    CHECK(values == std::vector<float>{1, 2, 0, 3, 4, 0, 5, 6, 7, 8, 9, 10});
}

}  // namespace

TEST_SUITE("onnx_values") {
    TEST_CASE("values are joined in their own type, zeros behind the shorter ones") {
        check_joined<float>();
        check_joined<Ort::Float16_t>();
    }

    TEST_CASE("caches have the type of the manifest") {
        CHECK(element_type("float32") == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
        CHECK(element_type("float16") == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16);
    }

    TEST_CASE("an error of ONNX Runtime is one of ours, with its words behind a colon") {
        const auto fail = [] { mapped_errors("trying", [] { throw Ort::Exception("no", ORT_FAIL); }); };
        CHECK(message_of<SessionError>(fail) == "ONNX Runtime failed while trying: no");
    }
}
