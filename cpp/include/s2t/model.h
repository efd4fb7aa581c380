/// A loaded bundle: audio in, text out.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "s2t/errors.h"
#include "s2t/options.h"
#include "s2t/recording.h"
#include "s2t/result.h"
#include "s2t/span.h"

namespace s2t {

/// Loaded once, used from any number of threads: every method is const, and each call owns its caches.
///
/// It belongs to the process that loaded it: in a fork `generate` throws SessionError, and all else does no harm.
class Model {
  public:
    /// Open a bundle, check its files against its manifest and load its graphs.
    ///
    /// Throws BundleError, OptionError (an unknown precision, provider or thread count), SessionError.
    static Model load(const std::string& path, const LoadOptions& options = {});

    Model(Model&&) noexcept;
    Model& operator=(Model&&) noexcept;
    ~Model();

    /// Decode one utterance: float samples at `sampling_rate()`, mono, around -1 .. 1.
    ///
    /// Throws AudioError (empty, too short, too long, not finite), OptionError, SessionError.
    Result generate(Span<const float> audio, const GenerateOptions& options = {}) const;

    /// Decode a recording; one at another rate is resampled, as `resampled` says.
    Result generate(const Recording& recording, const GenerateOptions& options = {}) const;

    /// Decode several utterances as one batch; each result is what its utterance gives alone, in int8 nearly.
    std::vector<Result> generate_batch(Span<const Span<const float>> audio, const GenerateOptions& options = {}) const;

    /// Throws what `generate` would throw for these options, and decodes nothing.
    void check(const GenerateOptions& options) const;

    int sampling_rate() const;                                     ///< samples per second that audio must have
    const std::map<std::string, std::int64_t>& languages() const;  ///< code -> token; empty: no choice

    /// The ids that a bundle with a restricted vocabulary can write, rising; empty: all.
    const std::vector<std::int64_t>& output_token_ids() const;

  private:
    struct Loaded;
    explicit Model(std::unique_ptr<const Loaded> loaded);
    std::unique_ptr<const Loaded> loaded_;
};

}  // namespace s2t
