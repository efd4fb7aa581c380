"""What a search gives back, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Observer: TypeAlias = Callable[[int, int, tuple[int, ...], bool], None]
"""Told after each step: utterance, sequence of it, tokens so far (prompt included), whether these are final.

In beam search the sequence is 0 and the tokens are those of the hypothesis that is the best so far."""


@dataclass(frozen=True)
class ScoredSequence:
    """One decoded sequence.

    Attributes:
        tokens: prompt, new tokens and end token, without padding.
        score: log-probability of the new tokens divided by their number ** length_penalty.
        log_probs: log-probability of each new token: after the rules in beam search, of the raw logits
            in greedy decoding, and where tokens were drawn one by one the one it was drawn with.
    """

    tokens: tuple[int, ...]
    score: float
    log_probs: tuple[float, ...]


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        hypotheses: best first, sampled ones as drawn; batch × num_return_sequences.
        steps: decoder steps taken.
        stopped: whether the caller ended the search early.
    """

    hypotheses: tuple[tuple[ScoredSequence, ...], ...]
    steps: int
    stopped: bool
