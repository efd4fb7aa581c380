#include "text/detokenizer.h"

#include <utility>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "messages/utf8.h"
#include "s2t/errors.h"
#include "text/joining_steps.h"
#include "text/text_cleanup.h"

namespace s2t {

namespace {

std::vector<JoiningStep> steps_of(const Detokenizer& detokenizer) {
    if (detokenizer.kind == "steps") {
        return detokenizer.steps;
    }
    JoiningStep step;
    step.step = detokenizer.kind;
    if (detokenizer.kind == "metaspace") {
        if (!detokenizer.replacement || detokenizer.replacement->empty() || !detokenizer.prepend_scheme) {
            throw BundleError(say("detokenizer.metaspace"));
        }
        step.pattern = detokenizer.replacement;
        step.prepend_scheme = detokenizer.prepend_scheme;
    } else {
        if (!detokenizer.prefix) {
            throw BundleError(say("detokenizer.wordpiece"));
        }
        step.pattern = detokenizer.prefix;
        step.cleanup = detokenizer.cleanup;
    }
    return {step};
}

}  // namespace

std::string join_tokens(const std::vector<std::string_view>& tokens, const Detokenizer& detokenizer) {
    std::string text;
    if (detokenizer.kind == "byte_level") {
        for (const std::string_view token : tokens) {
            text += token;
        }
        text = replaced_utf8(text);
    } else {
        std::vector<std::string> pieces;
        for (const std::string_view token : tokens) {
            pieces.push_back(replaced_utf8(token));
        }
        for (const JoiningStep& step : steps_of(detokenizer)) {
            pieces = applied(step, std::move(pieces));
        }
        text = joined(pieces, "");
    }
    return detokenizer.clean_up_tokenization_spaces ? cleaned(text, Cleanup::text) : text;
}

}  // namespace s2t
