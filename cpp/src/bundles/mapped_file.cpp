#include "bundles/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace s2t {

MappedFile::MappedFile(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        throw std::system_error(errno, std::generic_category());
    }
    struct stat status {};
    void* mapped = MAP_FAILED;
    if (::fstat(file, &status) == 0 && status.st_size > 0) {  // nothing can be mapped of an empty file
        size_ = static_cast<std::size_t>(status.st_size);
        mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    }
    const int failure = errno;
    ::close(file);
    if (mapped != MAP_FAILED) {
        data_ = static_cast<char*>(mapped);
    } else if (size_ > 0) {
        throw std::system_error(failure, std::generic_category());
    }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
    if (data_ != nullptr) {
        ::munmap(data_, size_);
    }
}

}  // namespace s2t
