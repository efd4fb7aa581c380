// WAV files: those that libsndfile wrote (recordings.json), and those that nobody should.

#include <cstring>

#include "vectors.h"

using namespace s2t;
using namespace s2t::tests;

namespace {

std::vector<float> floats(const std::string& path) {
    const std::string bytes = read_file(path);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

std::string chunk(const std::string& tag, const std::string& content) {
    std::string bytes = tag;
    for (unsigned shift = 0; shift < 32; shift += 8) {
        bytes += static_cast<char>(static_cast<unsigned char>(content.size() >> shift));
    }
    return bytes + content + std::string(content.size() % 2, '\0');
}

std::string format_chunk(char format, char channels, char bits, char frame_bytes,
                         const std::string& rate = std::string("\x80\x3E\0\0", 4)) {
    return chunk("fmt ", std::string{format, 0, channels, 0} + rate + std::string(4, '\0') +
                             std::string{frame_bytes, 0, bits, 0});
}

std::string wav(const std::string& chunks) { return chunk("RIFF", "WAVE" + chunks); }

Recording read(const std::string& bytes) {
    return read_wav(Span<const unsigned char>(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()),
                    "x.wav");
}

std::string not_wav(const std::string& bytes) {
    const std::string message = message_of<AudioError>([&] { read(bytes); });
    const std::string beginning =
        "x.wav is not audio that can be read; wanted wav with PCM samples of 16, 24 or 32 bits or float ones (convert "
        "it first): ";
    CHECK(message.substr(0, beginning.size()) == beginning);
    return message.substr(std::min(beginning.size(), message.size()));
}

}  // namespace

TEST_SUITE("recording") {
    TEST_CASE("every kind of WAV is read as s2t_runtime reads it") {
        const Json cases = vectors("recordings.json");
        CHECK(cases.size() == 40);
        for (const Json& item : cases) {
            CAPTURE(item["path"].get<std::string>());
            const Recording recording = read_wav(vector_path(item["path"].get<std::string>()));
            CHECK(recording.sampling_rate == item["rate"].get<int>());
            CHECK(recording.samples == floats(vector_path(item["samples"].get<std::string>())));
        }
    }

    TEST_CASE("chunks of other kinds, odd lengths and the end of a stream") {
        const std::string data("\0\x40\0\xC0\x01", 5);
        const std::vector<float> wanted{0.5F, -0.5F};
        CHECK(read(wav(chunk("LIST", "odd") + format_chunk(1, 1, 16, 2) + chunk("data", data))).samples == wanted);
        std::string endless = wav(format_chunk(1, 1, 16, 2) + chunk("data", data.substr(0, 4)));
        endless.replace(endless.size() - 8, 4, "\xFF\xFF\xFF\xFF");
        CHECK(read(endless).samples == wanted);
        CHECK(read(wav(format_chunk(1, 1, 16, 2) + chunk("data", ""))).samples.empty());
    }

    TEST_CASE("what is no WAV is refused") {
        CHECK(message_of<AudioError>([] { read(""); }) ==
              "x.wav is empty (0 bytes), wanted an audio file: check the recording");
        CHECK(not_wav("OggS and more of it") == "it does not begin as a RIFF file of form WAVE");
        CHECK(not_wav("RIFF") == "it does not begin as a RIFF file of form WAVE");
        CHECK(not_wav(wav("")) == "it has no fmt chunk before its end");
        CHECK(not_wav(wav(chunk("fmt ", "short"))) == "it has no fmt chunk before its end");
        CHECK(not_wav(wav(format_chunk(1, 1, 16, 2))) == "it has no data chunk before its end");
        CHECK(not_wav(wav(format_chunk(1, 1, 8, 1))) == "it has samples of format 1 and 8 bits");
        CHECK(not_wav(wav(format_chunk(85, 1, 16, 2))) == "it has samples of format 85 and 16 bits");
        CHECK(not_wav(wav(format_chunk(1, 0, 16, 0))) ==
              "it has 0 channels, 16000 samples per second and 0 bytes a frame");
        CHECK(not_wav(wav(format_chunk(1, 2, 16, 2))) ==
              "it has 2 channels, 16000 samples per second and 2 bytes a frame");
        CHECK(not_wav(wav(format_chunk(1, 1, 16, 2, std::string(4, '\0')))) ==
              "it has 1 channels, 0 samples per second and 2 bytes a frame");
    }

    TEST_CASE("files that cannot be read") {
        CHECK(message_of<AudioError>([] { read_wav(std::string("/no/such.wav")); }) ==
              "/no/such.wav does not exist: check the path");
        CHECK(message_of<AudioError>([] { read_wav(std::string("/")); }) ==
              "/ is a directory, wanted an audio file: pass the files in it");
        const std::string unreadable = "/proc/self/mem";
        CHECK(message_of<AudioError>([&] { read_wav(unreadable); }).substr(0, 31) == "/proc/self/mem cannot be read: ");
    }

    TEST_CASE("a recording at another rate") {
        Recording recording{{0.1F, 0.2F}, 8000, "x.wav"};
        CHECK(resampled(recording, 8000).samples == recording.samples);
        CHECK(message_of<OptionError>([&] { resampled(recording, 0); }) ==
              "sampling_rate is 0, wanted a positive number of samples per second, at most 2147483647");
#ifdef S2T_WITH_SOXR
        const Json wanted = document(vector_path("recordings.json"))["resampled"];
        const Recording other =
            resampled(read_wav(vector_path(wanted["path"].get<std::string>())), wanted["rate"].get<int>());
        const std::vector<float> samples = floats(vector_path(wanted["samples"].get<std::string>()));
        REQUIRE(other.samples.size() == samples.size());
        for (std::size_t place = 0; place < samples.size(); ++place) {
            CHECK(std::fabs(other.samples[place] - samples[place]) <= 1e-6);
        }
        recording.samples[1] = std::nanf("");
        CHECK(message_of<AudioError>([&] { resampled(recording, 16000); }).substr(0, 39) ==
              "1 of 2 samples are NaN or infinite, the");
#else
        CHECK(message_of<AudioError>([&] { digits().generate(recording); }) ==
              "x.wav has 8000 samples per second, wanted 16000: resample it first, or build s2t with -DS2T_SOXR=ON");
#endif
    }
}
