/// What audio the encoder can take.
#pragma once

#include "bundles/manifest.h"
#include "s2t/span.h"

namespace s2t {

/// Throws AudioError: samples that are NaN, infinite or far louder than any recording.
void check_samples(Span<const float> audio);

/// Throws AudioError: empty, too short, too long, not finite, or far too loud.
void check_audio(Span<const float> audio, const AudioInfo& info);

}  // namespace s2t
