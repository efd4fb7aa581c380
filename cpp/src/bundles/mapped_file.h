/// A file as bytes in memory, of which the system reads what is used.
#pragma once

#include <cstddef>
#include <string>

namespace s2t {

class MappedFile {
  public:
    /// Throws std::system_error.
    explicit MappedFile(const std::string& path);
    MappedFile(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    MappedFile& operator=(MappedFile&&) = delete;
    ~MappedFile();

    /// Not to be written to; interfaces of C ask for a pointer like this.
    char* data() const { return data_; }
    std::size_t size() const { return size_; }

  private:
    char* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace s2t
