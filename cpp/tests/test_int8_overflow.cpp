// Products of uint8 with int8 on this processor.

#include <fstream>
#include <iterator>
#include <string>

#include "sessions/int8_overflow.h"
#include "vectors.h"

using namespace s2t;

TEST_SUITE("int8_overflow") {
    TEST_CASE("they overflow with AVX2 and without VNNI, and nowhere else") {
        std::ifstream file("/proc/cpuinfo");
        const std::string processor{std::istreambuf_iterator<char>(file), {}};
        const auto has = [&](const char* feature) { return processor.find(feature) != std::string::npos; };
        const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "test");
        CHECK(products_overflow(env) == (has("avx2") && !has("vnni")));
    }
}
