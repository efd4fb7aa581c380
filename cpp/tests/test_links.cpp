// Where the links of a bundle may lead: the places of tests/s2t_runtime/bundles/test_links.py.

#include <filesystem>
#include <fstream>
#include <system_error>

#include <unistd.h>

#include "bundles/links.h"
#include "bundles/mapped_file.h"
#include "vectors.h"

using namespace s2t;
namespace fs = std::filesystem;

namespace {

/// A directory that is deleted with all in it.
struct Temporary {
    Temporary() : path(fs::canonical(fs::temp_directory_path()) / ("s2t-links-" + std::to_string(::getpid()))) {
        fs::remove_all(path);
        fs::create_directories(path);
    }
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary() { fs::remove_all(path); }

    /// Make a file below it.
    fs::path file(const std::string& name) const {
        fs::create_directories((path / name).parent_path());
        std::ofstream(path / name) << name;
        return path / name;
    }

    fs::path path;
};

fs::path linked(const fs::path& link, const fs::path& target) {
    fs::create_directories(link.parent_path());
    fs::remove(link);
    fs::create_symlink(target, link);
    return link;
}

}  // namespace

TEST_SUITE("links") {
    TEST_CASE("what lies in the bundle stays, by whatever path") {
        const Temporary here;
        const fs::path root = here.path / "bundle";
        here.file("bundle/words");
        CHECK_FALSE(leads_elsewhere(root, root / "words"));
        CHECK_FALSE(leads_elsewhere(root, root / "missing"));
        CHECK_FALSE(leads_elsewhere(root, linked(root / "vocabulary.bin", "words")));
        CHECK_FALSE(leads_elsewhere(root, linked(root / "folder/link", "../words")));
        const fs::path latest = linked(here.path / "latest", "bundle");
        CHECK_FALSE(leads_elsewhere(latest, latest / "vocabulary.bin"));
        CHECK_FALSE(leads_elsewhere(root, linked(root / "by the other name", latest / "words")));
    }

    TEST_CASE("what lies anywhere else is told, there or not") {
        const Temporary here;
        const fs::path root = here.path / "bundle";
        const fs::path stored = here.file("store/3f9a");
        CHECK(leads_elsewhere(root, linked(root / "a", stored)) == stored);
        CHECK(leads_elsewhere(root, linked(root / "b", "../store/none")) == here.path / "store/none");
        CHECK(leads_elsewhere(root, linked(root / "c", "../bundle-2/x")) == here.path / "bundle-2/x");
        linked(root / "fp32", here.path / "store");
        CHECK(leads_elsewhere(root, root / "fp32/3f9a") == stored);
    }

    TEST_CASE("the blobs of the hub cache are the bundle's own") {
        const Temporary here;
        for (const std::string kind : {"models", "datasets", "spaces"}) {
            const fs::path blob = here.file(kind + "--owner--name/blobs/1");
            const fs::path snapshot = here.path / (kind + "--owner--name/snapshots/0123abc");
            for (const fs::path& root : {snapshot, snapshot / "exports/bundle"}) {
                CHECK_FALSE(leads_elsewhere(root, linked(root / "file", blob)));
            }
            const fs::path latest = linked(here.path / "latest", snapshot);
            CHECK_FALSE(leads_elsewhere(latest, latest / "file"));
        }
    }

    TEST_CASE("what only looks like the hub cache is not") {
        const Temporary here;
        const std::string name = "models--owner--name";
        const std::vector<std::pair<std::string, std::string>> cases{
            {name + "/snapshots/0123abc", "models--owner--other/blobs/1"},
            {name + "/snapshots/0123abc", name + "/blobs-2/1"},
            {name + "/snapshots", name + "/blobs/1"},
            {name + "/refs/0123abc", name + "/blobs/1"},
            {"my-models/snapshots/0123abc", "my-models/blobs/1"},
        };
        for (const auto& [folder, target] : cases) {
            CAPTURE(folder + " " + target);
            const fs::path stored = here.file(target);
            CHECK(leads_elsewhere(here.path / folder, linked(here.path / folder / "file", stored)) == stored);
        }
        const fs::path stored = here.file("disk/1");
        const fs::path root = here.path / "models--a--b/snapshots/0";
        linked(here.path / "models--a--b/blobs", here.path / "disk");
        CHECK(leads_elsewhere(root, linked(root / "file", "../../blobs/1")) == stored);
    }

    TEST_CASE("a mapped file has the bytes of the file") {
        const Temporary here;
        const fs::path path = here.file("words");
        const MappedFile mapped(path.string());
        CHECK(std::string(mapped.data(), mapped.size()) == "words");
        std::ofstream(here.path / "empty").flush();
        CHECK(MappedFile((here.path / "empty").string()).size() == 0);
        CHECK_THROWS_AS(MappedFile((here.path / "none").string()), std::system_error);
    }

    TEST_CASE("a loop of links cannot be followed") {
        const Temporary here;
        const fs::path root = here.path / "bundle";
        CHECK_THROWS_AS(leads_elsewhere(root, linked(root / "file", "file")), std::system_error);
        linked(here.path / "there", root / "back");
        CHECK_THROWS_AS(leads_elsewhere(root, linked(root / "back", "../there")), std::system_error);
    }
}
