// A model in a forked process: it refuses, and ends as any process does.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include "sessions/loading_process.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

bool in_a_fork = false;

}  // namespace

/// Asked by LeakSanitizer: in a fork it takes what the parent's threads hold for leaks.
extern "C" int __lsan_is_turned_off() { return in_a_fork ? 1 : 0; }

namespace {

constexpr int well = 7;

LoadOptions two_threads() {
    LoadOptions options;
    options.threads = 2;
    options.spin = true;
    return options;
}

/// What a forked child said, and how it ended.
struct Child {
    std::string said;
    int status = 0;
};

/// Run `work` in a forked child, which then ends by std::exit, destructors of statics and all.
Child forked(const std::function<std::string()>& work) {
    std::array<int, 2> ends{};
    REQUIRE(pipe(ends.data()) == 0);
    const pid_t child = fork();
    if (child == 0) {
        in_a_fork = true;
        alarm(20);  // what hangs is killed
        const std::string said = work();
        const bool whole = write(ends[1], said.data(), said.size()) == static_cast<ssize_t>(said.size());
        std::exit(whole ? well : 1);
    }
    close(ends[1]);
    Child found;
    std::array<char, 1024> piece{};
    for (ssize_t count = 0; (count = read(ends[0], piece.data(), piece.size())) > 0;) {
        found.said.append(piece.data(), static_cast<std::size_t>(count));
    }
    close(ends[0]);
    waitpid(child, &found.status, 0);
    return found;
}

bool ended_well(const Child& child) { return WIFEXITED(child.status) && WEXITSTATUS(child.status) == well; }

std::string refusal_of(const Model& model) {
    try {
        model.generate(golden_audio("carried_0_1"));
    } catch (const SessionError& error) {
        return error.what();
    }
    return "nothing was thrown";
}

bool is_refusal(const std::string& said) {
    const std::string here = std::to_string(getpid());
    return said.rfind("the model was loaded in process " + here + " and is used in process ", 0) == 0 &&
           said.find(", a fork of it, which has none of its threads: load after the fork, in the process that "
                     "decodes") != std::string::npos;
}

}  // namespace

TEST_SUITE("processes") {
    TEST_CASE("a fork refuses, destroys and ends") {
        for (const LoadOptions& options : {one_thread(), two_threads()}) {
            for (const bool decoded : {false, true}) {
                auto model = std::make_unique<Model>(Model::load(bundle_path(), options));
                if (decoded) {
                    model->generate(golden_audio("carried_0_1"));
                }
                const Child refused = forked([&] { return refusal_of(*model); });
                CHECK(is_refusal(refused.said));
                CHECK(ended_well(refused));
                const Child dropped = forked([&] {
                    model.reset();
                    return std::string("dropped");
                });
                CHECK(dropped.said == "dropped");
                CHECK(ended_well(dropped));
                CHECK(ended_well(forked([] { return std::string(); })));
                CHECK_NOTHROW(model->generate(golden_audio("carried_0_1")));
            }
        }
    }

    TEST_CASE("a fork loads a model of its own") {
        const std::string wanted = digits().generate(golden_audio("carried_0_1")).text;
        const Child child = forked(
            [] { return Model::load(bundle_path(), two_threads()).generate(golden_audio("carried_0_1")).text; });
        CHECK(child.said == wanted);
        CHECK(ended_well(child));
    }

    TEST_CASE("a callback forks while others decode, and the child leaves generate") {
        const Model model = Model::load(bundle_path(), two_threads());
        const Recording recording = golden_audio("carried_0_1");
        const Result wanted = model.generate(recording);
        std::vector<std::thread> others;
        for (int index = 0; index < 3; ++index) {
            others.emplace_back([&] { model.generate(recording); });
        }
        const pid_t here = getpid();
        pid_t child = -1;
        GenerateOptions options;
        options.on_token = [&](const TokenEvent&) { child = child < 0 ? fork() : child; };
        std::string said;
        Result found;
        try {
            found = model.generate(recording, options);
        } catch (const SessionError& error) {
            said = error.what();
        }
        if (getpid() != here) {
            std::_Exit(said.find("a fork of it") != std::string::npos ? well : 1);
        }
        for (std::thread& other : others) {
            other.join();
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(ended_well({"", status}));
        CHECK(found.tokens == wanted.tokens);
    }

    TEST_CASE("what is kept is never destroyed in a fork") {
        const auto destroyed = std::make_shared<bool>(false);
        struct Native {
            explicit Native(std::shared_ptr<bool> noted) : flag(std::move(noted)) {}
            ~Native() { *flag = true; }
            std::shared_ptr<bool> flag;
        };
        auto held = std::make_unique<UnlessForked<Native>>(std::make_shared<Native>(destroyed));
        const Child child = forked([&] {
            held.reset();
            return std::string(*destroyed ? "destroyed" : "kept");
        });
        CHECK(child.said == "kept");
        held.reset();
        CHECK(*destroyed);
    }
}
