// Products of uint8 with int8 on this processor.

#include <fstream>
#include <iterator>
#include <string>

#include "int8_overflow.h"
#include "vectors.h"

using namespace s2t;

TEST_SUITE("int8_overflow") {
    TEST_CASE("a processor with VNNI keeps its products") {
        std::ifstream file("/proc/cpuinfo");
        const std::string processor{std::istreambuf_iterator<char>(file), {}};
        const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "test");
        const bool overflow = products_overflow(env);
        if (processor.find("vnni") != std::string::npos) {
            CHECK_FALSE(overflow);
        }
        CHECK(products_overflow(env) == overflow);
    }
}
