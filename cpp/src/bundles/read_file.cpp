#include "bundles/read_file.h"

#include <cerrno>
#include <fstream>
#include <system_error>
#include <vector>

#include "bundles/sha256.h"

namespace s2t {

namespace {

/// Call `take` with the bytes of a file, piece by piece.
template <typename Take>
void read_pieces(const std::string& path, Take take) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> piece(1U << 20U);
    while (file) {
        file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        take(piece.data(), static_cast<std::size_t>(file.gcount()));
    }
    if (!file.eof()) {  // it did not open, or a read failed
        throw std::system_error(errno == 0 ? EIO : errno, std::generic_category());
    }
}

}  // namespace

std::string read_file(const std::string& path) {
    std::string bytes;
    errno = 0;
    read_pieces(path, [&](const char* piece, std::size_t count) { bytes.append(piece, count); });
    return bytes;
}

std::string sha256_of(const std::string& path) {
    Sha256 hash;
    errno = 0;
    read_pieces(path, [&](const char* piece, std::size_t count) {
        hash.update(reinterpret_cast<const unsigned char*>(piece), count);
    });
    return hash.hex();
}

}  // namespace s2t
