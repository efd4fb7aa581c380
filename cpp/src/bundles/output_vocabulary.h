/// The ids that a decoder can write, and where each stands in its logits; docs/bundle.md has the file's layout.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace s2t {

/// A column of the logits for every id, or for those alone that a restricted output projection has.
///
/// Copies share the list, which never changes.
class OutputVocabulary {
  public:
    /// A column for every id from 0 to `vocab_size` - 1.
    explicit OutputVocabulary(std::int64_t vocab_size = 0) : vocab_size_(vocab_size) {}

    /// The bytes of output_vocabulary.bin, `count` ids below `vocab_size`; `path` is for messages.
    ///
    /// Throws BundleError: they are something else.
    static OutputVocabulary parse(std::string_view bytes, const std::string& path, std::int64_t count,
                                  std::int64_t vocab_size);

    /// Throws BundleError: also where the file cannot be read.
    static OutputVocabulary read(const std::string& path, std::int64_t count, std::int64_t vocab_size);

    std::int64_t vocab_size() const { return vocab_size_; }  ///< ids that the decoder takes

    /// Columns of the logits: tokens that can be chosen.
    std::size_t width() const { return ids_ == nullptr ? static_cast<std::size_t>(vocab_size_) : ids_->size(); }

    std::int64_t id(std::size_t column) const {
        return ids_ == nullptr ? static_cast<std::int64_t>(column) : (*ids_)[column];
    }

    /// Where an id below `vocab_size` stands; unset: it cannot be written.
    std::optional<std::size_t> column(std::int64_t id) const;

    /// The ids that have a column, rising; empty: all.
    const std::vector<std::int64_t>& listed() const;

  private:
    std::int64_t vocab_size_;
    std::shared_ptr<const std::vector<std::int64_t>> ids_;  // by column; nullptr: column and id are one
};

}  // namespace s2t
