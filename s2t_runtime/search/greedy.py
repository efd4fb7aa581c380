"""Token by token, transformers' ``_sample``: the best one (greedy decoding), or one drawn (``sampling``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.search.outcome import Observer, ScoredSequence, SearchResult
from s2t_runtime.search.rows import Rows, RowSource
from s2t_runtime.sessions.protocol import Float32, Int64, StepFunction

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """The next token of each sequence.

    Attributes:
        tokens: int64 [batch, sequences].
        log_probs: float32 [batch, sequences], what is reported of it.
        scored: float32 [batch, sequences], what counts in the score of the hypothesis.
    """

    tokens: Int64
    log_probs: Float32
    scored: Float32


Chooser: TypeAlias = Callable[[Rows, Mask], Choice]
"""Chooses from rows [batch, sequences or 1, n]; the mask [batch, sequences] says which have not ended."""


def greedy_search(
    step: StepFunction,
    plan: SearchPlan,
    batch: int,
    *,
    max_candidates: int,
    stop: Callable[[], bool] | None = None,
    observe: Observer | None = None,
) -> SearchResult:
    """Take the best token at each step until every row has ended.

    The score of a hypothesis, which transformers does not give, is the sum of its tokens'
    log-probabilities (of the raw logits; 0 for a forced token) / new tokens ** length_penalty.

    Args:
        step: the decoder.
        plan: what to decode; its num_beams is 1.
        batch: utterances.
        max_candidates: most candidates to ask of the decoder; beyond it, logits are fetched.
        stop: asked before each step but the first; True ends every row where it is.
        observe: told of every token.
    """
    source = RowSource(step, plan, keep=1, max_candidates=max_candidates)
    return TokenByToken(plan, source, batch, 1, _best).run(stop, observe)


def _best(rows: Rows, _: Mask) -> Choice:
    """The best tokens, the lower id among equals."""
    best: Mask = rows.scores == rows.scores.max(axis=-1, keepdims=True)
    place = np.where(best, rows.ids, np.iinfo(np.int64).max).argmin(axis=-1)[..., None]
    tokens = np.take_along_axis(rows.ids, place, axis=-1)[..., 0]
    log_probs = np.take_along_axis(rows.log_probs, place, axis=-1)[..., 0]
    return Choice(tokens, log_probs, log_probs)


class TokenByToken:
    """The state of one decoding of ``sequences`` rows per utterance; ``run`` takes it to its end.

    The encoder's output and the cache of the prompt have one row per utterance; the second step spreads
    them over the sequences, as it does over beams.
    """

    def __init__(
        self, plan: SearchPlan, source: RowSource, batch: int, sequences: int, choose: Chooser
    ) -> None:
        self._plan, self._source, self._choose = plan, source, choose
        self._prompt = len(plan.prompt)
        shape = (batch, sequences)
        self._history = np.empty((*shape, plan.max_length), dtype=np.int64)
        self._history[..., : self._prompt] = plan.prompt
        self._log_probs = np.zeros((*shape, plan.max_length - self._prompt), dtype=np.float32)
        self._scored = np.zeros_like(self._log_probs)
        self._ended = np.zeros(shape, dtype=np.bool_)
        self._lengths = np.zeros(shape, dtype=np.int64)
        self._eos = np.array(plan.eos_token_ids, dtype=np.int64)

    def run(self, stop: Callable[[], bool] | None, observe: Observer | None) -> SearchResult:
        """Decode until every row has ended, or ``stop`` says so between two steps."""
        batch, sequences = self._ended.shape
        utterances = np.arange(batch, dtype=np.int64)[:, None]
        fed, beam_index = self._history[:, :1, : self._prompt].copy(), utterances
        stopped, steps = False, 0
        while not self._ended.all() and self._prompt + steps < self._plan.max_length:
            if steps and stop is not None and stop():
                stopped = True
                break
            running = ~self._ended
            length, width = self._prompt + steps, beam_index.shape[1]
            histories = self._history[:, :width, :length]
            rows = self._source.rows(fed, beam_index, histories, running[:, :width])
            self._append(self._choose(rows, running), steps)
            fed = self._history[..., length : length + 1].copy()
            # The cache has one row per utterance after the first step, and as many as sequences later.
            flat = np.arange(batch * sequences, dtype=np.int64).reshape(batch, sequences)
            beam_index = flat if steps else np.repeat(utterances, sequences, axis=1)
            steps += 1
            if observe is not None:
                self._tell(observe, running, full=self._prompt + steps == self._plan.max_length)
        if stopped and observe is not None:
            self._tell(observe, ~self._ended, full=True)
        found = tuple(tuple(self._hypothesis(b, k) for k in range(sequences)) for b in range(batch))
        return SearchResult(found, steps, stopped)

    def _append(self, choice: Choice, steps: int) -> None:
        tokens = choice.tokens
        if self._plan.pad_token_id is not None:
            tokens = np.where(self._ended, self._plan.pad_token_id, tokens)
        self._history[..., self._prompt + steps] = tokens
        self._log_probs[..., steps] = choice.log_probs
        self._scored[..., steps] = choice.scored
        self._lengths += ~self._ended
        self._ended |= (tokens[..., None] == self._eos).any(axis=-1)

    def _tell(self, observe: Observer, running: Mask, *, full: bool) -> None:
        for utterance, sequence in np.argwhere(running).tolist():
            final = full or bool(self._ended[utterance, sequence])
            observe(utterance, sequence, self._tokens(utterance, sequence), final)

    def _tokens(self, utterance: int, sequence: int) -> tuple[int, ...]:
        length = self._prompt + int(self._lengths[utterance, sequence])
        return tuple(self._history[utterance, sequence, :length].tolist())

    def _hypothesis(self, utterance: int, sequence: int) -> ScoredSequence:
        length = int(self._lengths[utterance, sequence])
        total = self._scored[utterance, sequence, :length].sum(dtype=np.float32)
        score = float(total / np.float32(length**self._plan.length_penalty))
        log_probs = self._log_probs[utterance, sequence, :length].tolist()
        return ScoredSequence(self._tokens(utterance, sequence), score, tuple(log_probs))
