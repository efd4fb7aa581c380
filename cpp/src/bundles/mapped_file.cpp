#include "bundles/mapped_file.h"

#if __has_include(<sys/mman.h>)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#else
#include <algorithm>

#include "bundles/read_file.h"
#endif

#include <utility>

namespace s2t {

#if __has_include(<sys/mman.h>)

MappedFile::MappedFile(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        throw std::system_error(errno, std::generic_category());
    }
    struct stat status {};
    bool failed = ::fstat(file, &status) != 0;
    if (!failed && status.st_size > 0) {  // nothing can be mapped of an empty file
        const auto size = static_cast<std::size_t>(status.st_size);
        void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
        failed = mapped == MAP_FAILED;
        if (!failed) {
            data_ = static_cast<char*>(mapped);
            size_ = size;
        }
    }
    const int error = errno;
    ::close(file);
    if (failed) {
        throw std::system_error(error, std::generic_category());
    }
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) {
        ::munmap(data_, size_);
    }
}

#else  // read as a whole

MappedFile::MappedFile(const std::string& path) {
    const std::string bytes = read_file(path);
    data_ = new char[bytes.size()];
    size_ = bytes.size();
    std::copy(bytes.begin(), bytes.end(), data_);
}

MappedFile::~MappedFile() { delete[] data_; }

#endif

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

}  // namespace s2t
