// Any bytes as a WAV file: it is read or refused.

#include <cstddef>
#include <cstdint>

#include "s2t/errors.h"
#include "s2t/recording.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        s2t::read_wav(s2t::Span<const unsigned char>(data, size));
    } catch (const s2t::AudioError&) {
        return 0;
    }
    return 0;
}
