"""Whether a machine's memory can hold a search at all, asked before any of it is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from s2t_runtime.errors import OptionError

# At the peak of a step, a sixth below what was measured (36.0 KB a beam with 400 candidates, where this says 30.3).
_TOKEN_BYTES: Final = 48.0  # int64 and a float32 log-probability, of running, finished and merged hypotheses
_CANDIDATE_BYTES: Final = 56.0  # id and scores, before and after the rules; places, and their order by score
_CACHES: Final = 2.0  # a step reads one and writes the next
_GIB: Final = 2.0**30


@dataclass(frozen=True)
class Memory:
    """What there is, and what a decoder takes of it.

    Attributes:
        machine_bytes: of the whole machine.
        cache_bytes: keys and values of one token of one beam.
    """

    machine_bytes: int
    cache_bytes: int


def check_memory(memory: Memory, *, beams: int, longest: int, candidates: int) -> None:
    """Refuse a search that no machine of this memory can hold.

    Only what is sure to be needed for one utterance is counted: hypotheses at their full length, which are
    allocated at once, the candidates of one step, and the cache of one token. Most of a long text's cache comes later.

    Args:
        memory: of the machine.
        beams: hypotheses that are decoded side by side.
        longest: tokens of each at most, prompt included.
        candidates: continuations that are ranked for each.

    Raises:
        OptionError: the least that is needed is more than there is.
    """
    # In doubles, in this order, as in C++: both say the same of the same numbers.
    each = (
        _TOKEN_BYTES * float(longest)
        + _CANDIDATE_BYTES * float(candidates)
        + _CACHES * float(memory.cache_bytes)
    )
    needed = each * float(beams)
    if needed > memory.machine_bytes:
        raise OptionError(
            f"{beams} beams of up to {longest} tokens with {candidates} candidates each need at least "
            f"{needed / _GIB:.1f} GiB, wanted at most the {memory.machine_bytes / _GIB:.1f} GiB of this machine; pass "
            "a smaller num_beams, num_return_sequences or max_length"
        )
