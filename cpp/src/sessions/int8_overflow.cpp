#include "sessions/int8_overflow.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace s2t {

namespace {

/// y = MatMulInteger(a, b) with a uint8, b int8 and y int32; int8_overflow.py of the Python runtime has the same.
constexpr std::array<unsigned char, 110> product_graph{
    0x08, 0x05, 0x12, 0x00, 0x3a, 0x62, 0x0a, 0x18, 0x0a, 0x01, 0x61, 0x0a, 0x01, 0x62, 0x12, 0x01, 0x79, 0x22,
    0x0d, 0x4d, 0x61, 0x74, 0x4d, 0x75, 0x6c, 0x49, 0x6e, 0x74, 0x65, 0x67, 0x65, 0x72, 0x12, 0x01, 0x67, 0x5a,
    0x15, 0x0a, 0x01, 0x61, 0x12, 0x10, 0x0a, 0x0e, 0x08, 0x02, 0x12, 0x0a, 0x0a, 0x03, 0x12, 0x01, 0x6d, 0x0a,
    0x03, 0x12, 0x01, 0x6b, 0x5a, 0x15, 0x0a, 0x01, 0x62, 0x12, 0x10, 0x0a, 0x0e, 0x08, 0x03, 0x12, 0x0a, 0x0a,
    0x03, 0x12, 0x01, 0x6b, 0x0a, 0x03, 0x12, 0x01, 0x6e, 0x62, 0x15, 0x0a, 0x01, 0x79, 0x12, 0x10, 0x0a, 0x0e,
    0x08, 0x06, 0x12, 0x0a, 0x0a, 0x03, 0x12, 0x01, 0x6d, 0x0a, 0x03, 0x12, 0x01, 0x6e, 0x42, 0x04, 0x0a, 0x00,
    0x10, 0x0a};

constexpr std::int64_t terms = 64;
constexpr std::int64_t columns = 16;

/// A value that reads the numbers where they are.
template <typename Element>
Ort::Value matrix(std::vector<Element>& numbers, std::int64_t rows, std::int64_t width) {
    const std::array<std::int64_t, 2> shape{rows, width};
    return Ort::Value::CreateTensor<Element>(Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault),
                                             numbers.data(), numbers.size(), shape.data(), shape.size());
}

bool is_exact(Ort::Session& session, std::int64_t rows) {
    std::vector<std::uint8_t> left(static_cast<std::size_t>(rows * terms), 255);
    std::vector<std::int8_t> right(static_cast<std::size_t>(terms * columns), 127);
    const std::array<Ort::Value, 2> given{matrix(left, rows, terms), matrix(right, terms, columns)};
    const std::array<const char*, 2> names{"a", "b"};
    const char* const wanted = "y";
    const auto results = session.Run(Ort::RunOptions{nullptr}, names.data(), given.data(), given.size(), &wanted, 1);
    const std::int32_t* const product = results.front().GetTensorData<std::int32_t>();
    return std::all_of(product, product + rows * columns, [](std::int32_t one) { return one == terms * 255 * 127; });
}

bool computed(const Ort::Env& env) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
    Ort::Session session(env, product_graph.data(), product_graph.size(), options);
    // One row has a kernel of its own.
    return !is_exact(session, 1) || !is_exact(session, 4);
}

}  // namespace

bool products_overflow(const Ort::Env& env) {
    static const bool overflow = computed(env);
    return overflow;
}

}  // namespace s2t
