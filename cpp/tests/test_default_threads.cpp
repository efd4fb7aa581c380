// The number of threads that a session gets, from the trees of /proc and /sys that the tests of s2t_runtime have too.

#include "sessions/default_threads.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

TEST_SUITE("default_threads") {
    TEST_CASE("every machine gets the threads that s2t_runtime counts") {
        const Json cases = vectors("machines.json");
        REQUIRE(cases.size() > 10);
        for (const Json& machine : cases) {
            CAPTURE(machine["name"].get<std::string>());
            const DefaultThreads found =
                default_threads(machine["root"].get<std::string>(), machine["usable"].get<std::set<int>>());
            CHECK(found.count == machine["count"].get<int>());
            CHECK(found.cores == machine["cores"].get<int>());
            CHECK(found.usable == static_cast<int>(machine["usable"].size()));
            CHECK(found.quota.has_value() == !machine["quota"].is_null());
            if (found.quota) {
                CHECK(*found.quota == machine["quota"].get<double>());
            }
        }
    }

    TEST_CASE("this machine has threads") {
        const DefaultThreads found = default_threads();
        CHECK(found.count >= 1);
        CHECK(found.count <= found.cores);
        CHECK(found.cores <= found.usable);
    }
}
