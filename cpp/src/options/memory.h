/// Whether a machine's memory can hold a search at all, asked before any of it is allocated.
#pragma once

#include <cstdint>

namespace s2t {

/// What there is, and what a decoder takes of it.
struct Memory {
    std::int64_t machine_bytes = 0;  ///< of the whole machine; 0: not known, whatever is asked for is taken to fit
    double cache_bytes = 0.0;        ///< keys and values of one token of one beam
};

/// What the system says of this machine, 0 where it does not.
std::int64_t machine_bytes();

/// Throws OptionError: the least that one utterance needs is more than there is; see options/memory.py.
void check_memory(const Memory& memory, std::int64_t beams, std::int64_t longest, std::int64_t candidates);

}  // namespace s2t
