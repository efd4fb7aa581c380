/// The command line of s2t-cli: the flags of run-s2t.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "decoding_flags.h"
#include "messages/python_text.h"
#include "s2t/options.h"

namespace s2t::cli {

/// What a command line asks for.
struct Request {
    std::string bundle;
    std::vector<std::string> audio;  ///< paths; at most one is "-", standard input
    LoadOptions load;
    Json options = Json::object();  ///< decoding options that were given, by name
    std::size_t batch_size = 1;
    bool as_json = false;
    bool stream = false;
    bool help = false;
};

/// Read a command line, the program's name left out. Throws UsageError.
Request parse(const std::vector<std::string>& arguments);

std::string help_text();

/// Throws OptionError: an option of sampling that would act.
void refuse_sampling(const Json& options);

}  // namespace s2t::cli
