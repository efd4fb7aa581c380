/// vocabulary.bin: the bytes of every token; docs/bundle.md has its layout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "s2t/span.h"

namespace s2t {

class Vocabulary {
  public:
    /// Throws BundleError: not a vocabulary, newer than this library, or truncated. `path` is for messages.
    static Vocabulary parse(std::string bytes, const std::string& path);

    /// Throws BundleError: also where the file cannot be read.
    static Vocabulary read(const std::string& path);

    std::size_t size() const { return flags_.size(); }

    /// The bytes of the tokens, without those that are special, absent or not in the vocabulary.
    std::vector<std::string_view> texts(Span<const std::int64_t> ids) const;

  private:
    std::vector<std::uint64_t> offsets_;  // size() + 1 of them, into blob_
    std::string flags_;
    std::string blob_;
};

}  // namespace s2t
