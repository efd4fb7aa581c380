/// Recordings: mono samples with their rate, and how they are read from WAV.
#pragma once

#include <string>
#include <vector>

#include "s2t/span.h"

namespace s2t {

struct Recording {
    std::vector<float> samples;      ///< mono, around -1 .. 1
    int sampling_rate = 0;           ///< samples per second
    std::string name = "the audio";  ///< what messages call it
};

/// Read a WAV file: PCM of 16, 24 or 32 bits or float of 32 or 64, any number of channels (their mean is taken).
///
/// Throws AudioError: missing, unreadable, or another format.
Recording read_wav(const std::string& path);

/// The same for the bytes of a file; `name` stands for it in messages.
Recording read_wav(Span<const unsigned char> bytes, const std::string& name = "the audio given as bytes");

/// The recording at another rate, by soxr at its high quality.
///
/// Throws AudioError: the rates differ and this library was built without soxr (S2T_SOXR), or samples that
/// are not finite and would be resampled.
Recording resampled(Recording recording, int sampling_rate);

}  // namespace s2t
