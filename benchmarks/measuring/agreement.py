"""How near one answer is to another: no speed without its quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.peers.protocol import Answer


@dataclass(frozen=True)
class Agreement:
    """One case's answer against a reference's, the best hypotheses of one task.

    Attributes:
        utterances: compared.
        identical: of them, with the same tokens.
        tokens: of the reference, prompts left out as far as they are shared.
        agreeing: of these, before the first one that differs: all later ones follow from it.
        score_difference: the largest; of different tokens too, whose scores still say how good they are.
    """

    utterances: int
    identical: int
    tokens: int
    agreeing: int
    score_difference: float


def agreement(answer: Answer, reference: Answer, generated: int) -> Agreement:
    """Compare two answers to the same task.

    Args:
        answer: of the case.
        reference: of the reference.
        generated: tokens that were asked for; what stands before them is the prompt.
    """
    pairs = list(zip(answer.tokens, reference.tokens, strict=True))
    identical = sum(mine == theirs for mine, theirs in pairs)
    agreeing = tokens = 0
    for mine, theirs in pairs:
        prompt = max(0, len(theirs) - generated)
        tokens += len(theirs) - prompt
        agreeing += max(0, _shared(mine, theirs) - prompt)
    difference = float(np.max(np.abs(np.subtract(answer.scores, reference.scores))))
    return Agreement(len(pairs), identical, tokens, agreeing, difference)


def _shared(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Tokens before the first that differs."""
    places = (place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return next(places, min(len(first), len(second)))
