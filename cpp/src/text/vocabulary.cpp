#include "text/vocabulary.h"

#include <system_error>
#include <utility>

#include "bundles/read_file.h"
#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

constexpr std::string_view magic = "S2TV";
constexpr std::uint64_t header_size = 12;
constexpr std::uint64_t known_version = 1;
constexpr unsigned special = 1;
constexpr unsigned absent = 4;

std::uint64_t little_endian(std::string_view bytes, std::uint64_t start, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t index = count; index > 0; --index) {
        value = (value << 8U) | static_cast<unsigned char>(bytes[start + index - 1]);
    }
    return value;
}

void check_size(std::string_view bytes, std::uint64_t wanted, const std::string& path) {
    if (bytes.size() < wanted) {
        throw BundleError(
            say("vocabulary.short",
                {{"path", path}, {"size", std::to_string(bytes.size())}, {"wanted", std::to_string(wanted)}}));
    }
}

}  // namespace

Vocabulary Vocabulary::parse(std::string bytes, const std::string& path) {
    const std::string_view view = bytes;
    if (view.substr(0, 4) != magic) {
        throw BundleError(say(
            "vocabulary.magic",
            {{"path", path}, {"magic", python_repr_bytes(view.substr(0, 4))}, {"wanted", python_repr_bytes(magic)}}));
    }
    check_size(view, header_size, path);
    const std::uint64_t version = little_endian(view, 4, 4);
    const std::uint64_t count = little_endian(view, 8, 4);
    if (version != known_version) {
        throw BundleError(say("vocabulary.version", {{"path", path},
                                                     {"version", std::to_string(version)},
                                                     {"reader", std::string(reader_name)},
                                                     {"known", std::to_string(known_version)}}));
    }
    const std::uint64_t blob_start = header_size + 8 * (count + 1) + count;
    check_size(view, blob_start, path);
    Vocabulary vocabulary;
    bool rising = true;
    for (std::uint64_t index = 0; index <= count; ++index) {
        const std::uint64_t offset = little_endian(view, header_size + 8 * index, 8);
        rising = rising && (index == 0 || offset >= vocabulary.offsets_.back());
        vocabulary.offsets_.push_back(offset);
    }
    vocabulary.flags_ = view.substr(blob_start - count, count);
    vocabulary.blob_ = view.substr(blob_start);
    const std::vector<std::uint64_t>& offsets = vocabulary.offsets_;
    if (offsets.front() != 0 || !rising || offsets.back() != vocabulary.blob_.size()) {
        throw BundleError(say("vocabulary.offsets", {{"path", path},
                                                     {"first", std::to_string(offsets.front())},
                                                     {"last", std::to_string(offsets.back())},
                                                     {"size", std::to_string(vocabulary.blob_.size())}}));
    }
    return vocabulary;
}

Vocabulary Vocabulary::read(const std::string& path) {
    std::string bytes;
    try {
        bytes = read_file(path);
    } catch (const std::system_error& error) {
        throw BundleError(say("bundle.unreadable", {{"path", path}, {"error", error.code().message()}}));
    }
    return parse(std::move(bytes), path);
}

std::vector<std::string_view> Vocabulary::texts(Span<const std::int64_t> ids) const {
    std::vector<std::string_view> tokens;
    for (const std::int64_t id : ids) {
        if (id < 0 || static_cast<std::uint64_t>(id) >= size()) {
            continue;
        }
        const auto index = static_cast<std::size_t>(id);
        if ((static_cast<unsigned char>(flags_[index]) & (special | absent)) == 0U) {
            tokens.push_back(std::string_view(blob_).substr(offsets_[index], offsets_[index + 1] - offsets_[index]));
        }
    }
    return tokens;
}

}  // namespace s2t
