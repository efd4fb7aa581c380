/// The fields of manifest.json; its schema is s2t_runtime/bundles/manifest.py, and docs/bundle.md explains each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages/python_text.h"

namespace s2t {

inline constexpr std::int64_t format_version = 3;  ///< of the bundles that this library reads, from 1 on

struct TensorInfo {
    std::string name;
    std::string dtype;
    std::optional<std::int64_t> last_axis;  ///< its size, where it has one
};

struct GraphInfo {
    std::string path;
    std::vector<TensorInfo> inputs;
    std::vector<TensorInfo> outputs;
};

struct PrecisionInfo {
    GraphInfo encoder;
    GraphInfo decoder_first_step;
    GraphInfo decoder_with_past;
    std::string base;  ///< the policy's: float32, float16 or int8; empty where there is no policy
};

struct FileInfo {
    std::int64_t size = 0;
    std::string sha256;
};

struct AudioInfo {
    std::int64_t sampling_rate = 0;
    std::int64_t min_samples = 0;
    std::int64_t max_samples = 0;
    bool padding_safe = false;
};

/// The file that lists the tokens of a restricted output projection, and how many they are.
struct OutputVocabularyInfo {
    std::string path;
    std::int64_t count = 0;
};

struct DecoderInfo {
    std::int64_t layers = 0;
    std::int64_t heads = 0;
    std::int64_t head_dim = 0;
    std::int64_t vocab_size = 0;
    std::optional<std::int64_t> max_positions;
    std::int64_t max_candidates = 0;
    std::optional<OutputVocabularyInfo> output_vocabulary;  ///< unset: the logits have a column for each id
    /// Behind which no forced token may be fed in the same step; unset: nobody measured, so that none may.
    std::optional<std::vector<std::int64_t>> alone_ids;

    /// Tokens that the decoder can write: columns of its logits.
    std::int64_t written_tokens() const { return output_vocabulary ? output_vocabulary->count : vocab_size; }
};

struct JoiningStep {
    std::string step;
    std::optional<std::string> pattern;
    std::optional<std::string> content;
    std::int64_t count = 0;
    std::optional<std::string> prepend_scheme;
    bool cleanup = false;
};

struct Detokenizer {
    std::string kind;
    std::optional<std::string> replacement;
    std::optional<std::string> prepend_scheme;
    std::optional<std::string> prefix;
    bool cleanup = false;
    bool clean_up_tokenization_spaces = false;
    std::vector<JoiningStep> steps;
};

/// A mapping in the order of the file.
template <typename Value>
using Mapping = std::vector<std::pair<std::string, Value>>;

/// What a host reads; fields of later releases, and those for people, are passed over.
struct Manifest {
    AudioInfo audio;
    Mapping<PrecisionInfo> graphs;
    Mapping<FileInfo> files;
    std::string default_precision;
    DecoderInfo decoder;
    std::shared_ptr<const Json> generation;  ///< decoding options by name
    Mapping<std::int64_t> languages;
    std::optional<Detokenizer> detokenizer;
};

/// Parse the text of manifest.json.
///
/// Throws BundleError: not JSON, a newer format, or missing or wrongly typed fields (all are named).
Manifest parse_manifest(std::string_view text);

/// Read a detokenizer object alone.
Detokenizer parse_detokenizer(const Json& value);

}  // namespace s2t
