#include "bundles/output_vocabulary.h"

#include <algorithm>
#include <system_error>

#include "bundles/read_file.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

constexpr std::size_t id_size = 4;

/// An int32, little-endian.
std::int64_t id_at(std::string_view bytes, std::size_t column) {
    std::uint32_t value = 0;
    for (std::size_t index = id_size; index > 0; --index) {
        value = (value << 8U) | static_cast<unsigned char>(bytes[id_size * column + index - 1]);
    }
    return value < 0x80000000U ? std::int64_t{value} : std::int64_t{value} - (std::int64_t{1} << 32U);
}

}  // namespace

OutputVocabulary OutputVocabulary::parse(std::string_view bytes, const std::string& path, std::int64_t count,
                                         std::int64_t vocab_size) {
    const auto wanted = static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1));
    if (count < 1 || bytes.size() % id_size != 0 || bytes.size() / id_size != wanted) {
        throw BundleError(say("output_vocabulary.size", {{"path", path},
                                                         {"size", std::to_string(bytes.size())},
                                                         {"wanted", std::to_string(id_size * wanted)}}));
    }
    std::vector<std::int64_t> ids;
    ids.reserve(bytes.size() / id_size);
    bool rising = true;
    for (std::size_t column = 0; column < bytes.size() / id_size; ++column) {
        const std::int64_t id = id_at(bytes, column);
        rising = rising && id > (ids.empty() ? -1 : ids.back());
        ids.push_back(id);
    }
    if (!rising || ids.back() >= vocab_size) {
        throw BundleError(
            say("output_vocabulary.ids", {{"path", path}, {"last", std::to_string(vocab_size - 1)}}));
    }
    OutputVocabulary vocabulary(vocab_size);
    vocabulary.ids_ = std::make_shared<const std::vector<std::int64_t>>(std::move(ids));
    return vocabulary;
}

OutputVocabulary OutputVocabulary::read(const std::string& path, std::int64_t count, std::int64_t vocab_size) {
    std::string bytes;
    try {
        bytes = read_file(path);
    } catch (const std::system_error& error) {
        throw BundleError(say("bundle.unreadable", {{"path", path}, {"error", error.code().message()}}));
    }
    return parse(bytes, path, count, vocab_size);
}

std::optional<std::size_t> OutputVocabulary::column(std::int64_t id) const {
    if (ids_ == nullptr) {
        return static_cast<std::size_t>(id);
    }
    const auto found = std::lower_bound(ids_->begin(), ids_->end(), id);
    if (found == ids_->end() || *found != id) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - ids_->begin());
}

const std::vector<std::int64_t>& OutputVocabulary::listed() const {
    static const std::vector<std::int64_t> none;
    return ids_ == nullptr ? none : *ids_;
}

}  // namespace s2t
