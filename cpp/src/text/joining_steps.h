/// The steps by which tokens become text: docs/bundle.md has what each does.
#pragma once

#include <string>
#include <vector>

#include "bundles/manifest.h"

namespace s2t {

/// The list of tokens that a step makes of a list of tokens.
///
/// Throws BundleError: the step lacks a field that it needs.
std::vector<std::string> applied(const JoiningStep& step, std::vector<std::string> pieces);

}  // namespace s2t
