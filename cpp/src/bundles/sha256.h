/// SHA-256 of FIPS 180-4, for the hashes of a manifest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace s2t {

class Sha256 {
  public:
    void update(const unsigned char* bytes, std::size_t count);

    /// The hash of everything so far in lower-case hex; nothing may follow.
    std::string hex();

  private:
    void block(const unsigned char* bytes);

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<unsigned char, 64> rest_{};
    std::size_t rest_size_ = 0;
    std::uint64_t total_ = 0;
};

}  // namespace s2t
