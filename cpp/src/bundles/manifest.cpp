#include "bundles/manifest.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "bundles/json_records.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

const std::vector<std::string> prepend_schemes{"always", "first", "never"};

TensorInfo read_tensor(Problems& problems, const Json& value, const std::string& path) {
    RecordReader reader(problems, value, path);
    TensorInfo tensor;
    tensor.name = reader.text("name");
    tensor.dtype = reader.choice("dtype", {"float32", "float16", "int64", "bool"});
    reader.list("shape", [&](const Json& size, const std::string& inside) {
        if (!is_integer(size) && !size.is_string()) {
            reader.wrong(inside, size, "an integer or a text");
        }
        tensor.last_axis = is_integer(size) ? std::optional(size.get<std::int64_t>()) : std::nullopt;
        return 0;
    });
    return tensor;
}

GraphInfo read_graph(RecordReader reader) {
    const auto tensor = [&](const Json& value, const std::string& path) {
        return read_tensor(reader.problems(), value, path);
    };
    GraphInfo graph;
    graph.path = reader.text("path");
    graph.inputs = reader.list("inputs", tensor);
    graph.outputs = reader.list("outputs", tensor);
    return graph;
}

void read_errors(RecordReader reader) {
    reader.number("log_prob_difference");
    reader.number("token_agreement");
}

/// The base of a policy. All else is for people, and read only to be refused where it is malformed.
std::string read_policy(RecordReader reader) {
    const std::vector<std::string> types{"float32", "float16", "int8"};
    std::string base = reader.choice("base", types);
    reader.mapping("blocks", [&](const Json& value, const std::string& path) {
        RecordReader block(reader.problems(), value, path);
        block.choice("precision", types);
        block.text("reason");
        return block.integer("extra_bytes");
    });
    read_errors(reader.object("budget"));
    read_errors(reader.object("measured"));
    return base;
}

PrecisionInfo read_precision(Problems& problems, const Json& value, const std::string& path) {
    RecordReader reader(problems, value, path);
    PrecisionInfo precision;
    precision.encoder = read_graph(reader.object("encoder"));
    precision.decoder_first_step = read_graph(reader.object("decoder_first_step"));
    precision.decoder_with_past = read_graph(reader.object("decoder_with_past"));
    if (const auto policy = reader.optional_object("policy")) {
        precision.base = read_policy(*policy);
    }
    return precision;
}

FileInfo read_file(Problems& problems, const Json& value, const std::string& path) {
    RecordReader reader(problems, value, path);
    FileInfo file;
    file.size = reader.integer("size");
    file.sha256 = reader.text("sha256");
    return file;
}

void read_model(RecordReader reader) {  // read only to be refused where a field is missing
    reader.text("id");
    reader.text_or_null("revision");
    reader.text("architecture");
    reader.text("encoder");
    reader.text("decoder");
    reader.integer("parameters");
    reader.text_or_null("licence");
    reader.text_or_null("card_url");
}

AudioInfo read_audio(RecordReader reader) {
    AudioInfo audio;
    audio.sampling_rate = reader.integer("sampling_rate");
    audio.min_samples = reader.integer("min_samples");
    audio.max_samples = reader.integer("max_samples");
    audio.padding_safe = reader.flag("padding_safe");
    return audio;
}

DecoderInfo read_decoder(RecordReader reader) {
    DecoderInfo decoder;
    decoder.layers = reader.integer("layers");
    decoder.heads = reader.integer("heads");
    decoder.head_dim = reader.integer("head_dim");
    decoder.vocab_size = reader.integer("vocab_size");
    decoder.max_positions = reader.integer_or_null("max_positions");
    reader.choice("cross_attention", {"shared", "expanded"});
    decoder.max_candidates = reader.integer("max_candidates");
    if (auto listed = reader.optional_object("output_vocabulary")) {
        decoder.output_vocabulary = OutputVocabularyInfo{listed->text("path"), listed->integer("count")};
    }
    decoder.alone_ids = reader.optional_integers("alone_ids");
    return decoder;
}

JoiningStep read_step(Problems& problems, const Json& value, const std::string& path) {
    RecordReader reader(problems, value, path);
    JoiningStep step;
    step.step = reader.choice("step", {"replace", "byte_fallback", "byte_level", "join", "strip", "trim", "metaspace",
                                       "wordpiece", "suffix", "ctc"});
    step.pattern = reader.optional_text("pattern");
    step.content = reader.optional_text("content");
    step.count = reader.integer_or("count", 0);
    step.prepend_scheme = reader.optional_text("prepend_scheme", prepend_schemes);
    step.cleanup = reader.flag_or("cleanup", false);
    return step;
}

Detokenizer read_detokenizer(Problems& problems, const Json& value, const std::string& path) {
    RecordReader reader(problems, value, path);
    Detokenizer detokenizer;
    detokenizer.kind = reader.choice("kind", {"metaspace", "byte_level", "wordpiece", "steps"});
    detokenizer.replacement = reader.optional_text("replacement");
    detokenizer.prepend_scheme = reader.optional_text("prepend_scheme", prepend_schemes);
    detokenizer.prefix = reader.optional_text("prefix");
    detokenizer.cleanup = reader.flag_or("cleanup", false);
    detokenizer.clean_up_tokenization_spaces = reader.flag_or("clean_up_tokenization_spaces", false);
    detokenizer.steps = reader.optional_list(
        "steps", [&](const Json& item, const std::string& inside) { return read_step(problems, item, inside); });
    return detokenizer;
}

void check_version(const Json& document) {
    if (!document.is_object()) {
        throw BundleError(say("manifest.not_object", {{"value", shown(document)}}));
    }
    const auto found = document.find("format_version");
    const Json version = found == document.end() ? Json() : *found;
    if (!version.is_number_integer() || version < 1) {
        throw BundleError(say("manifest.version", {{"value", shown(version)}}));
    }
    if (version > format_version) {
        throw BundleError(say("manifest.newer", {{"version", version.dump()},
                                                 {"reader", std::string(reader_name)},
                                                 {"known", std::to_string(format_version)}}));
    }
}

void refuse(const Problems& problems) {
    if (!problems.empty()) {
        throw BundleError(say("manifest.malformed", {{"problems", joined(problems, "; ")}}));
    }
}

}  // namespace

Manifest parse_manifest(std::string_view text) {
    const Json document = parsed_json(text);
    check_version(document);
    Problems problems;
    RecordReader reader(problems, document, "");
    Manifest manifest;
    read_model(reader.object("model"));
    manifest.audio = read_audio(reader.object("audio"));
    manifest.graphs = reader.mapping(
        "graphs", [&](const Json& value, const std::string& path) { return read_precision(problems, value, path); });
    manifest.files = reader.mapping(
        "files", [&](const Json& value, const std::string& path) { return read_file(problems, value, path); });
    manifest.default_precision = reader.text("default_precision");
    manifest.decoder = read_decoder(reader.object("decoder"));
    reader.any_mapping("generation");
    manifest.generation = std::make_shared<Json>(document.value("generation", Json::object()));
    manifest.languages = reader.mapping(
        "languages", [&](const Json& value, const std::string& path) { return reader.as_integer(value, path); });
    if (const Json* value = reader.required("detokenizer"); value != nullptr && !value->is_null()) {
        manifest.detokenizer = read_detokenizer(problems, *value, "detokenizer");
    }
    reader.any_mapping("provenance");
    if (problems.empty()) {
        std::vector<std::string> names;
        for (const auto& graph : manifest.graphs) {
            names.push_back(graph.first);
        }
        if (std::find(names.begin(), names.end(), manifest.default_precision) == names.end()) {
            reader.wrong("default_precision", manifest.default_precision, "one of " + python_names(names));
        }
    }
    if (problems.empty() && manifest.decoder.output_vocabulary && document["format_version"] < 3) {
        reader.wrong("format_version", document["format_version"], "3 with decoder.output_vocabulary");
    }
    refuse(problems);
    return manifest;
}

Detokenizer parse_detokenizer(const Json& value) {
    Problems problems;
    Detokenizer detokenizer = read_detokenizer(problems, value, "detokenizer");
    refuse(problems);
    return detokenizer;
}

}  // namespace s2t
