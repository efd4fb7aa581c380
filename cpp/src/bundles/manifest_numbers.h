/// Numbers of a manifest that no model has, found before memory is asked for by them.
#pragma once

#include "bundles/manifest.h"

namespace s2t {

/// Throws BundleError: a count is below 1, or the logits have another number of columns; all are named.
void check_numbers(const Manifest& manifest);

}  // namespace s2t
