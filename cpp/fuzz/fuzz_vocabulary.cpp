// Any bytes as vocabulary.bin and as output_vocabulary.bin: they are read or refused, and every id that they may have
// can be asked for.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "bundles/output_vocabulary.h"
#include "s2t/errors.h"
#include "text/vocabulary.h"

namespace {

constexpr std::int64_t ids_at_most = 70000;

void read_vocabulary(const std::string& bytes) {
    try {
        const s2t::Vocabulary vocabulary = s2t::Vocabulary::parse(bytes, "x");
        std::vector<std::int64_t> ids{-1};
        for (std::size_t id = 0; id <= vocabulary.size(); ++id) {
            ids.push_back(static_cast<std::int64_t>(id));
        }
        vocabulary.texts(ids);
    } catch (const s2t::BundleError&) {
        return;
    }
}

void read_output_vocabulary(const std::string& bytes) {
    try {
        const auto count = static_cast<std::int64_t>(bytes.size() / 4);
        const auto vocabulary = s2t::OutputVocabulary::parse(bytes, "x", count, ids_at_most);
        for (std::size_t column = 0; column < vocabulary.width(); ++column) {
            if (vocabulary.column(vocabulary.id(column)) != column) {
                std::abort();
            }
        }
    } catch (const s2t::BundleError&) {
        return;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    read_vocabulary(bytes);
    read_output_vocabulary(bytes);
    return 0;
}
