"""What the search needs of a session: a step function, and nothing else.

The search (``beam_search``, ``greedy``) sees ``step(...) -> Candidates`` only, so it is tested on
scripted step functions with no model; ``session_onnxruntime`` implements it over real graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """The best continuations of every beam.

    Attributes:
        log_probs: float32 [batch, beams, candidates], log-softmax of the raw logits, descending.
        ids: int64 [batch, beams, candidates], the token of each.
        logits: float32 [batch, beams, vocab], raw, only where they were asked for.
    """

    log_probs: Float32
    ids: Int64
    logits: Float32 | None = None


class StepFunction(Protocol):
    """One decoder step of one utterance batch; it owns the key/value cache."""

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        """Append tokens to the beams and score what may follow.

        Args:
            tokens: int64 [batch, beams, new]; the prompt (beams 1) in the first call, then the
                newest token of each beam.
            beam_index: int64 [batch, beams], flat rows ``b * previous_beams + k`` of the cache that
                each beam continues. The first call passes ``beam_index[b, 0] = b``; the second one
                follows a single row per utterance, so it passes ``beam_index[b, :] = b``.
            candidates: how many candidates per beam to return, at least 1.
            with_logits: also return the raw logits of the whole vocabulary.
        """
