#include "options/memory.h"

#include <string>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace s2t {

namespace {

// What s2t_runtime counts, so that both refuse the same.
constexpr double token_bytes = 48.0;      // an id and a log-probability, of running, finished and merged hypotheses
constexpr double candidate_bytes = 56.0;  // id and scores, before and after the rules; places, and their order by score
constexpr double caches = 2.0;            // a step reads one and writes the next
constexpr double gib = 1024.0 * 1024.0 * 1024.0;

}  // namespace

std::int64_t machine_bytes() {
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGE_SIZE)
    const auto pages = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES));
    const auto size = static_cast<std::int64_t>(::sysconf(_SC_PAGE_SIZE));
    return pages > 0 && size > 0 ? pages * size : 0;
#else
    return 0;
#endif
}

void check_memory(const Memory& memory, std::int64_t beams, std::int64_t longest, std::int64_t candidates) {
    const auto there = static_cast<double>(memory.machine_bytes);
    // In doubles, in the order of s2t_runtime: both say the same of the same numbers.
    const double each = token_bytes * static_cast<double>(longest) + candidate_bytes * static_cast<double>(candidates) +
                        caches * memory.cache_bytes;
    const double needed = each * static_cast<double>(beams);
    if (there > 0 && needed > there) {
        throw OptionError(say("option.memory", {{"beams", std::to_string(beams)},
                                                {"longest", std::to_string(longest)},
                                                {"candidates", std::to_string(candidates)},
                                                {"needed", fixed(needed / gib, 1)},
                                                {"memory", fixed(there / gib, 1)}}));
    }
}

}  // namespace s2t
