"""A step function that feeds forced tokens together with those behind them.

Where the rules force what follows, nothing has to be computed to know it. So what was to be fed waits, and goes
into the decoder together with the forced token: one reading of the weights and one product with the vocabulary
less. Where nothing comes behind (a forced end), it is never fed at all.

Where the decoder would see the forced token at another place (a start token that is the padding token, with positions
counted from that one), both are fed one by one, as eager does it.
"""

from __future__ import annotations

import numpy as np

from s2t_runtime.sessions.protocol import Candidates, Int64, StepFunction


class DeferredStep:
    """Calls a step function, now or together with the next call.

    As long as all beams of an utterance have the same tokens, one row of the cache stands for them all. So the
    beams of the call after that are looked up in the rows that there are.
    """

    def __init__(self, step: StepFunction, *, joins: bool = True) -> None:
        """Wrap a step function; ``joins``: what waits may be fed together with what is behind it."""
        self._step = step
        self._joins = joins
        self._waiting: tuple[Int64, Int64] | None = None
        self._beams_a_row = 1

    def defer(self, tokens: Int64, beam_index: Int64) -> None:
        """Append tokens to the beams, as a call would; no scores are wanted behind them."""
        self._feed_waiting()
        self._waiting = tokens, beam_index // self._beams_a_row

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        """See ``StepFunction``."""
        if self._waiting is None or not self._alike(tokens):
            self._feed_waiting()
            rows, self._beams_a_row = beam_index // self._beams_a_row, 1
            return self._step(tokens, rows, candidates, with_logits=with_logits)
        (before, rows), self._waiting = self._waiting, None
        self._beams_a_row = tokens.shape[1]
        both = np.concatenate((before, tokens[:, :1]), axis=-1)
        found = self._step(both, rows, candidates, with_logits=with_logits)
        return _spread(found, beams=tokens.shape[1])

    def _alike(self, tokens: Int64) -> bool:
        """Whether all beams of an utterance go on in the same way from the same row."""
        single = self._joins and self._waiting is not None and self._waiting[0].shape[1] == 1
        return single and bool((tokens == tokens[:, :1]).all())

    def _feed_waiting(self) -> None:
        if self._waiting is not None:
            (tokens, rows), self._waiting = self._waiting, None
            self._step(tokens, rows, 1)
            self._beams_a_row = 1


def _spread(found: Candidates, *, beams: int) -> Candidates:
    """One row per utterance, for each of its beams."""
    logits = found.logits
    return Candidates(
        np.repeat(found.log_probs, beams, axis=1),
        np.repeat(found.ids, beams, axis=1),
        None if logits is None else np.repeat(logits, beams, axis=1),
    )
