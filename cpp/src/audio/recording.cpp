#include "s2t/recording.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#ifdef S2T_WITH_SOXR
#include <soxr.h>
#endif

#include "audio/audio_check.h"
#include "bundles/read_file.h"
#include "messages/sentences.h"
#include "numbers.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

using Bytes = Span<const unsigned char>;

constexpr unsigned pcm_format = 1;
constexpr unsigned float_format = 3;
constexpr unsigned extensible_format = 0xFFFE;  // the format itself begins the chunk's last 16 bytes

struct WavFormat {
    unsigned format = 0;
    unsigned channels = 0;
    unsigned rate = 0;
    unsigned frame_bytes = 0;
    unsigned bits = 0;
};

struct Chunks {
    std::optional<Bytes> format;
    std::optional<Bytes> data;
};

std::uint32_t little_endian(Bytes bytes, std::size_t start, std::size_t count) {
    std::uint32_t value = 0;
    for (std::size_t index = count; index > 0; --index) {
        value = (value << 8U) | bytes[start + index - 1];
    }
    return value;
}

bool has_tag(Bytes bytes, std::size_t start, const char* tag) {
    return bytes.size() >= start + 4 && std::memcmp(bytes.data() + start, tag, 4) == 0;
}

AudioError not_wav(const std::string& name, const std::string& reason) {
    return AudioError(say("audio.not_wav", {{"name", name}, {"reason", reason}}));
}

/// The chunks that matter; one that goes on behind the end of the file, as of a stream, ends there.
Chunks find_chunks(Bytes bytes) {
    Chunks chunks;
    for (std::size_t start = 12; start + 8 <= bytes.size() && !chunks.data;) {
        const std::size_t left = bytes.size() - start - 8;
        const std::size_t size = little_endian(bytes, start + 4, 4);
        const Bytes content = bytes.subspan(start + 8, std::min(size, left));
        if (has_tag(bytes, start, "fmt ")) {
            chunks.format = content;
        } else if (has_tag(bytes, start, "data")) {
            chunks.data = content;
        }
        start += 8 + std::min(size + size % 2, left);  // chunks begin at even places
        if (left == 0) {
            break;
        }
    }
    return chunks;
}

WavFormat read_format(Bytes chunk, const std::string& name) {
    WavFormat format;
    format.format = little_endian(chunk, 0, 2);
    format.channels = little_endian(chunk, 2, 2);
    format.rate = little_endian(chunk, 4, 4);
    format.frame_bytes = little_endian(chunk, 12, 2);
    format.bits = little_endian(chunk, 14, 2);
    if (format.format == extensible_format && chunk.size() >= 26) {
        format.format = little_endian(chunk, 24, 2);
    }
    const unsigned bits = format.bits;
    const bool pcm = format.format == pcm_format && (bits == 16 || bits == 24 || bits == 32);
    const bool floating = format.format == float_format && (bits == 32 || bits == 64);
    if (!pcm && !floating) {
        throw not_wav(name, say("audio.not_wav.format",
                                {{"format", std::to_string(format.format)}, {"bits", std::to_string(bits)}}));
    }
    if (format.channels == 0 || format.rate == 0 || format.rate > INT32_MAX ||
        format.frame_bytes != format.channels * (bits / 8)) {
        throw not_wav(name, say("audio.not_wav.frames", {{"channels", std::to_string(format.channels)},
                                                         {"rate", std::to_string(format.rate)},
                                                         {"bytes", std::to_string(format.frame_bytes)}}));
    }
    return format;
}

template <typename Number>
Number read_number(const unsigned char* bytes) {
    Number value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

/// One sample around -1 .. 1, as libsndfile gives it.
float read_sample(const unsigned char* bytes, const WavFormat& format) {
    const std::size_t size = format.bits / 8;
    if (format.format == float_format) {
        return size == 4 ? read_number<float>(bytes) : single(read_number<double>(bytes));
    }
    std::uint32_t value = 0;  // the sample in the upper bytes
    for (std::size_t index = 0; index < size; ++index) {
        value |= static_cast<std::uint32_t>(bytes[index]) << (8U * (4U - size + index));
    }
    return static_cast<float>(static_cast<std::int32_t>(value)) / 2147483648.0F;
}

std::vector<float> read_samples(Bytes data, const WavFormat& format) {
    const std::size_t frames = data.size() / format.frame_bytes;
    std::vector<float> samples(frames);
    for (std::size_t frame = 0; frame < frames; ++frame) {
        const unsigned char* bytes = data.data() + frame * format.frame_bytes;
        if (format.channels == 1) {
            samples[frame] = read_sample(bytes, format);
            continue;
        }
        double sum = 0.0;  // double, so that the mean is rounded once
        for (unsigned channel = 0; channel < format.channels; ++channel) {
            sum += read_sample(bytes + std::size_t{channel} * (format.bits / 8), format);
        }
        samples[frame] = static_cast<float>(sum / format.channels);
    }
    return samples;
}

}  // namespace

Recording read_wav(Bytes bytes, const std::string& name) {
    if (bytes.empty()) {
        throw AudioError(say("audio.no_bytes", {{"name", name}}));
    }
    if (!has_tag(bytes, 0, "RIFF") || !has_tag(bytes, 8, "WAVE")) {
        throw not_wav(name, say("audio.not_wav.riff"));
    }
    const Chunks chunks = find_chunks(bytes);
    if (!chunks.format || chunks.format->size() < 16) {
        throw not_wav(name, say("audio.not_wav.chunk", {{"chunk", "fmt"}}));
    }
    const WavFormat format = read_format(*chunks.format, name);
    if (!chunks.data) {
        throw not_wav(name, say("audio.not_wav.chunk", {{"chunk", "data"}}));
    }
    return {read_samples(*chunks.data, format), static_cast<int>(format.rate), name};
}

Recording read_wav(const std::string& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
        throw AudioError(say("audio.directory", {{"name", path}}));
    }
    if (!std::filesystem::exists(path, error)) {
        throw AudioError(say("audio.missing", {{"name", path}}));
    }
    std::string bytes;
    try {
        bytes = read_file(path);
    } catch (const std::system_error& failure) {
        throw AudioError(say("audio.unreadable", {{"name", path}, {"error", failure.code().message()}}));
    }
    return read_wav(Bytes(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()), path);
}

Recording resampled(Recording recording, int sampling_rate) {
    for (const int rate : {recording.sampling_rate, sampling_rate}) {
        if (rate <= 0) {
            throw OptionError(say("audio.rate_range", {{"rate", std::to_string(rate)}}));
        }
    }
    if (recording.sampling_rate == sampling_rate || recording.samples.empty()) {
        recording.sampling_rate = sampling_rate;
        return recording;
    }
    const std::string rate = std::to_string(recording.sampling_rate);
    const std::string wanted = std::to_string(sampling_rate);
#ifdef S2T_WITH_SOXR
    check_samples(recording.samples);  // resampling would smear one bad sample over its neighbours
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const double ratio = static_cast<double>(sampling_rate) / recording.sampling_rate;
    const double expected = std::ceil(static_cast<double>(recording.samples.size()) * ratio);
    std::vector<float> result(static_cast<std::size_t>(expected) + 16);
    std::size_t done = 0;
    const soxr_error_t failure =
        soxr_oneshot(recording.sampling_rate, sampling_rate, 1, recording.samples.data(), recording.samples.size(),
                     nullptr, result.data(), result.size(), &done, nullptr, &quality, nullptr);
    if (failure != nullptr) {
        throw AudioError(say("audio.not_resampled", {{"rate", rate}, {"wanted", wanted}, {"error", failure}}));
    }
    result.resize(done);
    return {std::move(result), sampling_rate, std::move(recording.name)};
#else
    throw AudioError(say("audio.rate", {{"name", recording.name}, {"rate", rate}, {"wanted", wanted}}));
#endif
}

}  // namespace s2t
