// s2t-cli: recordings to text, as lines or as JSON lines. The flags and the JSON are those of run-s2t.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>

#include "arguments.h"
#include "messages/sentences.h"
#include "options/values.h"
#include "output.h"
#include "s2t/s2t.h"

namespace {

using s2t::cli::Outcome;
using s2t::cli::Request;

/// Decodes what a request asks for, batch by batch, and prints each outcome as soon as it is known.
class Decoding {
  public:
    explicit Decoding(const Request& request)
        : request_(request), options_(options_of(request)), model_(s2t::Model::load(request.bundle, request.load)) {}

    /// Returns whether every recording was decoded.
    bool run() {
        model_.check(options_);  // throws before any work
        for (std::size_t start = 0; start < request_.audio.size(); start += request_.batch_size) {
            const std::size_t end = std::min(start + request_.batch_size, request_.audio.size());
            for (const Outcome& outcome : decode(start, end)) {
                print(outcome);
            }
        }
        return whole_;
    }

  private:
    static s2t::GenerateOptions options_of(const Request& request) {
        const s2t::GenerateOptions options = s2t::options_from_values(request.options);
        s2t::cli::refuse_sampling(request.options);
        if (request.stream && !request.as_json) {
            throw s2t::OptionError(s2t::say("cli.stream"));
        }
        return options;
    }

    /// Decode a batch; where a member spoils it halve it, until the member is alone with its error.
    std::vector<Outcome> decode(std::size_t start, std::size_t end) {
        std::vector<Outcome> outcomes;
        try {
            return decode_at_once(start, end);
        } catch (const s2t::AudioError& error) {
            outcomes.push_back({request_.audio[start], std::string(error.what())});
        } catch (const s2t::SessionError& error) {
            outcomes.push_back({request_.audio[start], std::string(error.what())});
        }
        if (end - start > 1) {
            const std::size_t middle = start + (end - start) / 2;
            outcomes = decode(start, middle);
            const std::vector<Outcome> others = decode(middle, end);
            outcomes.insert(outcomes.end(), others.begin(), others.end());
        }
        return outcomes;
    }

    std::vector<Outcome> decode_at_once(std::size_t start, std::size_t end) {
        std::vector<s2t::Recording> recordings;
        for (std::size_t index = start; index < end; ++index) {
            recordings.push_back(s2t::resampled(read(request_.audio[index]), model_.sampling_rate()));
        }
        const std::vector<s2t::Span<const float>> audio = [&] {
            std::vector<s2t::Span<const float>> views;
            for (const s2t::Recording& recording : recordings) {
                views.emplace_back(recording.samples);
            }
            return views;
        }();
        s2t::GenerateOptions options = options_;
        if (request_.stream) {
            options.on_token = [&](const s2t::TokenEvent& event) {
                std::cout << s2t::cli::json_record(request_.audio[start + event.utterance], event) << std::endl;
            };
        }
        std::vector<Outcome> outcomes;
        double audio_s = 0.0;
        for (s2t::Result& result : model_.generate_batch(audio, options)) {
            audio_s += result.audio_s;
            outcomes.push_back({request_.audio[start + outcomes.size()], std::move(result)});
        }
        for (Outcome& outcome : outcomes) {
            outcome.real_time_factor = std::get<s2t::Result>(outcome.answer).timings_s.total / audio_s;
        }
        return outcomes;
    }

    s2t::Recording read(const std::string& name) {
        if (name != "-") {
            return s2t::read_wav(name);
        }
        if (!piped_) {  // a batch may be read twice, standard input cannot
            piped_ = piped();
        }
        return s2t::read_wav(
            s2t::Span<const unsigned char>(reinterpret_cast<const unsigned char*>(piped_->data()), piped_->size()));
    }

    static std::string piped() {
        std::string bytes;
        std::array<char, 65536> piece{};
        while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), stdin)) {
            bytes.append(piece.data(), count);
        }
        if (std::ferror(stdin) != 0) {
            throw s2t::AudioError(s2t::say("cli.stdin", {{"error", std::strerror(errno)}}));
        }
        return bytes;
    }

    void print(const Outcome& outcome) {
        const auto* const error = std::get_if<std::string>(&outcome.answer);
        whole_ = whole_ && error == nullptr;
        if (request_.as_json) {
            std::cout << s2t::cli::json_record(outcome) << std::endl;
        } else if (error != nullptr) {
            std::cerr << "s2t-cli: " << s2t::cli::one_line(outcome.audio) << ": " << s2t::cli::one_line(*error) << '\n';
        } else {
            std::cout << s2t::cli::lines(outcome) << std::flush;
        }
    }

    const Request& request_;
    s2t::GenerateOptions options_;
    s2t::Model model_;
    std::optional<std::string> piped_;
    bool whole_ = true;
};

}  // namespace

int main(int count, char** arguments) {
#ifndef _WIN32
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // as s2t_runtime does: ONNX Runtime reports to nobody unless asked to
#endif
    try {
        const Request request = s2t::cli::parse({arguments + 1, arguments + count});
        if (request.help) {
            std::cout << s2t::cli::help_text();
            return 0;
        }
        return Decoding(request).run() ? 0 : 1;
    } catch (const s2t::cli::UsageError& error) {
        std::cerr << "Usage: s2t-cli [OPTIONS] BUNDLE AUDIO...\nTry 's2t-cli --help' for help.\n\nError: "
                  << error.what() << '\n';
        return 2;
    } catch (const s2t::Error& error) {
        std::cerr << "s2t-cli: error: " << s2t::cli::one_line(error.what()) << '\n';
        return 1;
    }
}
