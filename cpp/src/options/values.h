/// Decoding options by name, as a bundle's manifest and a command line hold them.
#pragma once

#include "messages/python_text.h"
#include "s2t/options.h"

namespace s2t {

/// Options from JSON values, each checked and normalised whatever the bundle.
///
/// Throws OptionError: a name is unknown or refused, or a value cannot be valid.
GenerateOptions options_from_values(const Json& values);

/// The same checks for options that a caller set, the functions left out.
void check_values(const GenerateOptions& options);

}  // namespace s2t
