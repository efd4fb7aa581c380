/// Tokens -> text: the joining rules that a manifest can state. docs/bundle.md explains each kind and step.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bundles/manifest.h"

namespace s2t {

/// The text of tokens, UTF-8; special ones are already left out.
///
/// Throws BundleError: a field that the kind or a step needs is missing.
std::string join_tokens(const std::vector<std::string_view>& tokens, const Detokenizer& detokenizer);

}  // namespace s2t
