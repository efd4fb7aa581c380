#include "arguments.h"

#include <algorithm>
#include <utility>

#include "decoding_flags.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t::cli {

namespace {

/// Values with which an option of sampling changes nothing; seed has none.
constexpr std::pair<const char*, double> neutral_values[] = {
    {"temperature", 1.0}, {"top_k", 0.0}, {"top_p", 1.0},          {"min_p", 0.0},
    {"typical_p", 1.0},   {"top_h", 0.0}, {"epsilon_cutoff", 0.0}, {"eta_cutoff", 0.0}};

/// Walks over the arguments.
class Parser {
  public:
    explicit Parser(const std::vector<std::string>& arguments) : arguments_(arguments) {}

    Request parse() {
        bool flags = true;
        while (next_ < arguments_.size()) {
            const std::string argument = arguments_[next_++];
            if (flags && argument == "--") {
                flags = false;
            } else if (flags && argument.rfind("--", 0) == 0) {
                read_flag(argument);
            } else {
                positional_.push_back(argument);
            }
        }
        if (!request_.help) {
            check_positional();
        }
        return request_;
    }

  private:
    void read_flag(const std::string& argument) {
        const std::size_t equals = argument.find('=');
        const std::string name = argument.substr(0, equals);
        if (equals != std::string::npos) {
            attached_ = argument.substr(equals + 1);
        }
        if (!read_program_flag(name) && !read_decoding_flag(name)) {
            throw UsageError("no such option: " + name);
        }
        if (attached_) {
            throw UsageError(name + " takes no value");
        }
    }

    bool read_program_flag(const std::string& name) {
        if (name == "--help") {
            request_.help = true;
        } else if (name == "--json") {
            request_.as_json = true;
        } else if (name == "--stream") {
            request_.stream = true;
        } else if (name == "--precision") {
            request_.load.precision = value(name);
        } else if (name == "--provider") {
            request_.load.provider = value(name);
        } else if (name == "--threads") {
            request_.load.threads =
                static_cast<int>(std::clamp<std::int64_t>(integer(name, value(name)), -1, INT32_MAX));
        } else if (name == "--spin" || name == "--no-spin") {
            request_.load.spin = name == "--spin";
        } else if (name == "--batch-size") {
            const std::string text = value(name);
            if (integer(name, text) < 1) {
                throw bad_value(name, text, "integer of at least 1");
            }
            request_.batch_size = static_cast<std::size_t>(integer(name, text));
        } else if (name == "--weights") {
            const std::string text = value(name);
            if (text != "mapped" && text != "memory") {
                throw bad_value(name, text, "mapped or memory");
            }
            request_.load.weights = text == "memory" ? LoadOptions::Weights::memory : LoadOptions::Weights::mapped;
        } else if (name == "--verify") {
            const std::string text = value(name);
            if (text != "fast" && text != "full") {
                throw bad_value(name, text, "fast or full");
            }
            request_.load.verify = text == "full" ? LoadOptions::Verify::full : LoadOptions::Verify::fast;
        } else {
            return false;
        }
        return true;
    }

    bool read_decoding_flag(const std::string& name) {
        for (const DecodingFlag& flag : decoding_flags()) {
            const std::string shown = flag_of(flag.name);
            if (flag.kind == Kind::on_or_off) {
                if (name == shown || name == "--no-" + shown.substr(2)) {
                    request_.options[flag.name] = name == shown;
                    return true;
                }
            } else if (name == shown) {
                set(request_.options, flag, value(name));
                return true;
            }
        }
        return false;
    }

    std::string value(const std::string& name) {
        if (attached_) {
            return *std::exchange(attached_, std::nullopt);
        }
        if (next_ == arguments_.size()) {
            throw UsageError(name + " requires a value");
        }
        return arguments_[next_++];
    }

    void check_positional() {
        if (positional_.size() < 2) {
            throw UsageError(positional_.empty() ? "missing argument BUNDLE" : "missing argument AUDIO...");
        }
        request_.bundle = positional_.front();
        request_.audio.assign(positional_.begin() + 1, positional_.end());
        if (std::count(request_.audio.begin(), request_.audio.end(), "-") > 1) {
            throw UsageError("standard input (-) can be read only once");
        }
    }

    const std::vector<std::string>& arguments_;
    std::size_t next_ = 0;
    std::optional<std::string> attached_;
    std::vector<std::string> positional_;
    Request request_;
};

}  // namespace

Request parse(const std::vector<std::string>& arguments) { return Parser(arguments).parse(); }

std::string help_text() {
    std::string text =
        "Usage: s2t-cli [OPTIONS] BUNDLE AUDIO...\n\n"
        "  Write down what is said in AUDIO... (WAV; - is standard input), using BUNDLE.\n\n"
        "  Decoding options that are left out are the bundle's own. Options of token ids take commas, may be\n"
        "  repeated, and are switched off by an empty text. A file that cannot be decoded is reported and the\n"
        "  others go on. The exit code is then 1, as after any other error; after a wrong command line it is 2.\n\n";
    const auto line = [&](const std::string& flag, const std::string& help) {
        text += "  " + flag + std::string(flag.size() < 36 ? 36 - flag.size() : 1, ' ') + help + "\n";
    };
    for (const DecodingFlag& flag : decoding_flags()) {
        line(flag_of(flag.name), flag.help);
    }
    line("--precision", "NAME  one that the bundle holds; left out, its default");
    line("--provider", "NAME  where to run: cpu (the default) or cuda");
    line("--threads", "N  threads of one operator; left out, one per core that may be used");
    line("--spin", "or --no-spin: whether threads spin between operators; left out, for 50 us at most");
    line("--batch-size", "N  files decoded at once; left out, 1");
    line("--verify", "fast|full  full: all hashes");
    line("--weights", "mapped|memory  memory: read them whole, for file systems where others write");
    line("--json", "print one JSON object a line");
    line("--stream", "with --json: show the text as it comes");
    line("--help", "show this and exit");
    return text;
}

void refuse_sampling(const Json& options) {
    const auto refuse = [&](const char* name) {
        throw OptionError(say("option.sampling", {{"name", name}, {"value", python_value(options[name])}}));
    };
    for (const auto& [name, neutral] : neutral_values) {
        if (options.contains(name) && options[name].get<double>() != neutral) {
            refuse(name);
        }
    }
    if (options.contains("seed")) {
        refuse("seed");
    }
}

}  // namespace s2t::cli
