// Any bytes as manifest.json: it is read or refused, and its options and joining rule with it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bundles/manifest.h"
#include "options/plan.h"
#include "options/values.h"
#include "s2t/errors.h"
#include "text/detokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const s2t::Manifest manifest = s2t::parse_manifest({reinterpret_cast<const char*>(data), size});
        if (manifest.detokenizer) {
            s2t::join_tokens({"\xE2\x96\x81wort", "##ing", "<0xE2>", "a"}, *manifest.detokenizer);
        }
        const s2t::PlanContext context{s2t::options_from_values(*manifest.generation),
                                       {manifest.languages.begin(), manifest.languages.end()},
                                       s2t::OutputVocabulary(manifest.decoder.vocab_size),
                                       manifest.decoder.max_positions};
        s2t::plan_search(context, {});
    } catch (const s2t::Error&) {
        return 0;
    }
    return 0;
}
