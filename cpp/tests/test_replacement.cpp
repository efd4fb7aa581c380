// A bundle that is replaced while it is loaded, and one whose files are written over afterwards.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <unistd.h>

#include "bundles/replacement.h"
#include "comparison.h"
#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;
namespace fs = std::filesystem;

namespace {

/// A directory that is deleted with all in it.
struct Temporary {
    Temporary() : path(fs::temp_directory_path() / ("s2t-replaced-" + std::to_string(::getpid()))) {
        fs::remove_all(path);
        fs::create_directories(path);
    }
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary() { fs::remove_all(path); }

    fs::path path;
};

void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
}

/// Put a directory with such a manifest in the place of another.
void replace(const fs::path& live, const std::string& manifest) {
    write(live.parent_path() / "coming" / "manifest.json", manifest);
    fs::rename(live, live.parent_path() / "gone");
    fs::rename(live.parent_path() / "coming", live);
    fs::remove_all(live.parent_path() / "gone");
}

}  // namespace

TEST_SUITE("replacement") {
    TEST_CASE("what was loaded across a replacement is loaded again") {
        const Temporary here;
        const fs::path live = here.path / "live";
        write(live / "manifest.json", "one");
        int loads = 0;
        CHECK(load_whole(live.string(), [&] {
                  if (++loads == 1) {
                      replace(live, "one");  // another export with the same manifest
                  }
                  return loads;
              }) == 2);
        loads = 0;
        CHECK(load_whole(live.string(), [&] {
                  if (++loads < 3) {
                      replace(live, std::to_string(loads));
                      throw BundleError("a file is missing");
                  }
                  return loads;
              }) == 3);
    }

    TEST_CASE("a manifest that is written over at the same time is another one") {
        const Temporary here;
        const fs::path manifest = here.path / "manifest.json";
        write(manifest, "one");
        const auto modified = fs::last_write_time(manifest);
        int loads = 0;
        CHECK(load_whole(here.path.string(), [&] {
                  if (++loads == 1) {
                      write(manifest, "two");
                      fs::last_write_time(manifest, modified);
                  }
                  return loads;
              }) == 2);
    }

    TEST_CASE("a bundle that is replaced again and again is given up") {
        const Temporary here;
        const fs::path live = here.path / "live";
        write(live / "manifest.json", "0");
        int loads = 0;
        CHECK(message_of<BundleError>([&] {
                  load_whole(live.string(), [&] {
                      replace(live, std::to_string(++loads));
                      return loads;
                  });
              }) == live.string() +
                        " was replaced during each of 4 attempts to load it: load it again when nothing is written "
                        "there");
        CHECK(loads == 4);
    }

    TEST_CASE("other errors are thrown at once") {
        int loads = 0;
        const auto fail = [&]() -> int {
            ++loads;
            throw OptionError("no such precision");
        };
        CHECK(message_of<OptionError>([&] { load_whole(bundle_path(), fail); }) == "no such precision");
        CHECK(loads == 1);
    }

    TEST_CASE("weights in memory do not change with their files") {
        const Recording recording = golden_audio("carried_0_1");
        for (const bool cut : {true, false}) {
            const Temporary here;
            const fs::path root = here.path / "bundle";
            fs::copy(bundle_path(), root, fs::copy_options::recursive);
            LoadOptions options = one_thread();
            options.weights = LoadOptions::Weights::memory;
            const Model model = Model::load(root.string(), options);
            std::ifstream maps("/proc/self/maps");
            const std::string mapped{std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>()};
            CHECK(mapped.find(root.string()) == std::string::npos);
            const Result before = model.generate(recording);
            for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
                if (entry.is_regular_file()) {
                    const std::uintmax_t size = entry.file_size();
                    std::fstream(entry.path(), std::ios::in | std::ios::out | std::ios::binary)
                        << std::string(size, '\0');
                    fs::resize_file(entry.path(), cut ? 0 : size);
                }
            }
            const Result after = model.generate(recording);
            CHECK(after.text == before.text);
            CHECK(after.score == before.score);
        }
    }
}
