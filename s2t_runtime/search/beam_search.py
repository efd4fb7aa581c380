"""Beam search, a numpy copy of transformers' ``_beam_search`` (``GenerationMixin``).

All scores are float32 and every sum, division and penalty is taken in transformers' order, so that
hypotheses and scores are the same. What torch.topk leaves open is settled here: among equal scores the
lower beam goes first, then the lower token id, and finished hypotheses before newly finished ones.

With do_sample the continuations of a step are drawn instead of ranked (beam sampling); all else is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.errors import OptionError
from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.search.outcome import Observer, ScoredSequence, SearchResult
from s2t_runtime.search.rows import Rows, RowSource, best_of_rows
from s2t_runtime.search.sampling import check_drawable, generators
from s2t_runtime.sessions.protocol import Float32, Int64, StepFunction

NEVER = np.float32(-1.0e9)  # transformers' stand-in for -inf, which still orders what it is added to


@dataclass
class _Beams:
    """Sequences with their scores; the running ones, or the finished ones.

    Attributes:
        tokens: int64 [batch, beams, max_length], prompt included.
        log_probs: float32 [batch, beams, max new tokens].
        scores: float32 [batch, beams], accumulated; divided by the length where finished.
        lengths: int64 [batch, beams], new tokens.
    """

    tokens: Int64
    log_probs: Float32
    scores: Float32
    lengths: Int64

    @classmethod
    def start(cls, plan: SearchPlan, batch: int, scores: Float32) -> _Beams:
        beams, prompt = plan.num_beams, len(plan.prompt)
        tokens = np.zeros((batch, beams, plan.max_length), dtype=np.int64)
        tokens[:, :, :prompt] = plan.prompt
        log_probs = np.zeros((batch, beams, plan.max_length - prompt), dtype=np.float32)
        return cls(tokens, log_probs, np.tile(scores, (batch, 1)), np.zeros((batch, beams), dtype=np.int64))


@dataclass(frozen=True)
class _Chosen:
    """The best continuations of a step, each [batch, beams to keep], best first."""

    parents: Int64
    tokens: Int64
    log_probs: Float32
    scores: Float32
    ends: NDArray[np.bool_]


class BeamSearch:
    """The state of one search over a batch; ``run`` takes it to its end."""

    def __init__(self, step: StepFunction, plan: SearchPlan, batch: int, *, max_candidates: int) -> None:
        self._plan = plan
        beams = plan.num_beams
        # Enough that num_beams go on even where every end token of every beam is among the best.
        keep = max(2, 1 + len(plan.eos_token_ids)) * beams
        self._keep = min(keep, beams * plan.width)
        self._source = RowSource(step, plan, keep=keep, max_candidates=max_candidates)
        self._length = len(plan.prompt)
        self._eos = np.array(plan.eos_token_ids, dtype=np.int64)
        self._utterances = np.arange(batch, dtype=np.int64)[:, None]
        first = np.full(beams, NEVER, dtype=np.float32)
        first[0] = 0.0  # all beams begin alike, so only the first one counts
        self._running = _Beams.start(plan, batch, first)
        self._finished = _Beams.start(plan, batch, np.full(beams, NEVER, dtype=np.float32))
        self._is_finished = np.zeros((batch, beams), dtype=np.bool_)
        self._may_improve = np.ones((batch, 1), dtype=np.bool_)
        self._active = np.ones((batch, 1), dtype=np.bool_)
        # One for each utterance where continuations are drawn, none where they are ranked.
        self._generators: list[np.random.Generator] = []
        if plan.sampling is not None:
            self._generators = [one for (one,) in generators(plan.sampling.seed, batch, 1)]
        # Where scores may be positive, those that may not finish can outrank an empty place all the same.
        positive = plan.sequence_bias or plan.decay is not None
        self._contenders = self._keep if positive else beams

    def run(self, stop: Callable[[], bool] | None, observe: Observer | None = None) -> SearchResult:
        """Search until every utterance has ended, or ``stop`` says so between two steps."""
        plan = self._plan
        batch = len(self._utterances)
        prompt = np.tile(np.array(plan.prompt, dtype=np.int64), (batch, 1, 1))
        rows = self._source.rows(prompt, self._utterances, prompt, self._active)
        self._advance(self._spread(rows))
        if observe is not None:
            self._tell(observe, np.ones_like(self._active))
        # The cache has one row per utterance still, whatever beam a token came from.
        beam_index = np.repeat(self._utterances, plan.num_beams, axis=1)
        steps, stopped = 1, False
        while self._active.any():
            before = self._active
            if stop is not None and stop():
                self._finish_running()
                stopped = True
                break
            histories = self._running.tokens[:, :, : self._length]
            rows = self._source.rows(histories[:, :, -1:].copy(), beam_index, histories, before)
            beam_index = self._utterances * plan.num_beams + self._advance(rows)
            steps += 1
            if observe is not None:
                self._tell(observe, before)
        if stopped and observe is not None:
            self._active = np.zeros_like(before)
            self._tell(observe, before)
        self._check_found()
        return SearchResult(self._hypotheses(), steps, stopped)

    def _spread(self, rows: Rows) -> Rows:
        """The one row per utterance of the first step stands for all its beams."""
        shape = (rows.ids.shape[0], self._plan.num_beams, rows.ids.shape[2])
        ids, scores = np.broadcast_to(rows.ids, shape), np.broadcast_to(rows.scores, shape)
        return Rows(ids, scores, np.broadcast_to(rows.log_probs, shape))

    def _advance(self, rows: Rows) -> Int64:
        """Extend the beams; returns the beam that each continues, int64 [batch, beams]."""
        chosen = self._choose(rows)
        if self._contenders > self._plan.num_beams or chosen.ends[:, : self._plan.num_beams].any():
            self._update_finished(chosen)
        parents = self._continue(chosen)
        self._length += 1
        self._update_active(chosen)
        return parents

    def _choose(self, rows: Rows) -> _Chosen:
        """``_get_top_k_continuations``: the best over all beams of each utterance."""
        batch, beams, n = rows.ids.shape
        vocab = self._plan.vocab_size
        with np.errstate(over="ignore", invalid="ignore"):  # biases may add up to infinity
            scores = (rows.scores + self._running.scores[:, :, None]).reshape(batch, beams * n)
        # Sorting by beam × vocabulary + id among equals puts the lower beam first, then the lower id.
        places = (rows.ids + np.arange(beams)[:, None] * vocab).reshape(batch, beams * n)
        if not self._generators:
            order = np.lexsort((places, -scores), axis=-1)[:, : self._keep]
        else:
            order = self._draw(scores, places)
        parents, tokens = np.divmod(places[self._utterances, order], vocab)
        ends = (tokens[..., None] == self._eos).any(axis=-1)
        if self._length + 1 >= self._plan.max_length:
            ends = np.ones_like(ends)
        log_probs = rows.log_probs.reshape(batch, beams * n)[self._utterances, order]
        return _Chosen(parents, tokens, log_probs, scores[self._utterances, order], ends)

    def _draw(self, scores: Float32, places: Int64) -> Int64:
        """Draw without replacement by the scores' softmax, in the order drawn: int64 [batch, to keep].

        ``torch.multinomial`` ranks p / q, q exponentially distributed; this ranks its logarithm. What has
        no probability comes last, where torch leaves the order open.

        Raises:
            OptionError: an utterance that has not ended has no token to draw.
        """
        check_drawable(scores.max(axis=-1, keepdims=True), self._active)
        keys = scores.astype(np.float64)
        for row, generator in enumerate(self._generators):
            possible = np.flatnonzero(np.isfinite(scores[row]))
            possible = possible[np.argsort(places[row, possible], kind="stable")]
            keys[row, possible] -= np.log(generator.standard_exponential(possible.size))
        return best_of_rows(keys, self._keep)

    def _continue(self, chosen: _Chosen) -> Int64:
        """``_get_running_beams_for_next_iteration``: the best that have not ended."""
        running, length = self._running, self._length
        scores = chosen.scores + np.where(chosen.ends, NEVER, np.float32(0))
        order = np.argsort(-scores, axis=-1, kind="stable")[:, : self._plan.num_beams]
        parents = chosen.parents[self._utterances, order]
        new = length - len(self._plan.prompt)
        running.tokens[:, :, :length] = running.tokens[self._utterances, parents, :length]
        running.tokens[:, :, length] = chosen.tokens[self._utterances, order]
        running.log_probs[:, :, :new] = running.log_probs[self._utterances, parents, :new]
        running.log_probs[:, :, new] = chosen.log_probs[self._utterances, order]
        running.scores = scores[self._utterances, order]
        return parents

    def _update_finished(self, chosen: _Chosen) -> None:
        """``_update_finished_beams``, for the first num_beams continuations.

        Only those may finish. The others carry a penalty in transformers that no place among the finished
        is ever worse than, so they are left out; unless scores may be positive.
        """
        beams, length = self._contenders, self._length
        new = length - len(self._plan.prompt)
        parents, ends = chosen.parents[:, :beams], chosen.ends[:, :beams].copy()
        ends[:, self._plan.num_beams :] = False
        tokens = self._running.tokens[self._utterances, parents]
        tokens[:, :, length] = chosen.tokens[:, :beams]
        log_probs = self._running.log_probs[self._utterances, parents]
        log_probs[:, :, new] = chosen.log_probs[:, :beams]
        scores = self._over_length(chosen.scores[:, :beams], new + 1)
        full = self._is_finished.all(axis=-1, keepdims=True) & (self._plan.early_stopping is True)
        for barred in (full, ~self._may_improve, ~ends):  # one by one: the sum is rounded each time
            scores = scores + np.where(barred, NEVER, np.float32(0))
        self._merge(_Beams(tokens, log_probs, scores, np.full_like(parents, new + 1)), ends)

    def _merge(self, others: _Beams, ends: NDArray[np.bool_]) -> None:
        """Keep the best num_beams of the finished and the others, in utterances still active."""
        kept, beams = self._finished, self._plan.num_beams
        scores = np.concatenate((kept.scores, others.scores), axis=1)
        order = np.argsort(-scores, axis=-1, kind="stable")[:, :beams]
        order = np.where(self._active, order, np.arange(beams))

        def take(ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> NDArray[np.generic]:
            return np.concatenate((ours, theirs), axis=1)[self._utterances, order]

        self._finished = _Beams(
            take(kept.tokens, others.tokens),  # type: ignore[arg-type]  # take keeps the dtype
            take(kept.log_probs, others.log_probs),  # type: ignore[arg-type]
            scores[self._utterances, order],
            take(kept.lengths, others.lengths),  # type: ignore[arg-type]
        )
        self._is_finished = np.concatenate((self._is_finished, ends), axis=1)[self._utterances, order]

    def _update_active(self, chosen: _Chosen) -> None:
        """``_check_early_stop_heuristic`` and ``_beam_search_has_unfinished_sequences``, per utterance."""
        plan = self._plan
        longest = plan.early_stopping == "never" and plan.length_penalty > 0.0
        length = (plan.max_length if longest else self._length) - len(plan.prompt)
        best = self._over_length(self._running.scores[:, :1], length)
        worst = np.where(self._is_finished, self._finished.scores.min(axis=1, keepdims=True), NEVER)
        self._may_improve = self._may_improve & (best > worst).any(axis=-1, keepdims=True)
        ended = ~self._may_improve | chosen.ends.all(axis=-1, keepdims=True)
        if plan.early_stopping is True:
            ended |= self._is_finished.all(axis=-1, keepdims=True)
        self._active = self._active & ~ended

    def _tell(self, observe: Observer, before: NDArray[np.bool_]) -> None:
        """The best hypothesis so far of each utterance that had not ended before this step."""
        running, prompt = self._running, len(self._plan.prompt)
        scores = self._over_length(running.scores[:, 0], self._length - prompt)
        for utterance in np.flatnonzero(before[:, 0]).tolist():
            final = not self._active[utterance, 0]
            if final or self._finished.scores[utterance, 0] >= scores[utterance]:
                length = prompt + int(self._finished.lengths[utterance, 0])
                tokens = self._finished.tokens[utterance, 0, :length]
            else:
                tokens = running.tokens[utterance, 0, : self._length]
            observe(utterance, 0, tuple(tokens.tolist()), final)

    def _finish_running(self) -> None:
        """Count the running beams as finished where they are, as the maximum length would."""
        running = self._running
        lengths = np.full_like(running.lengths, self._length - len(self._plan.prompt))
        scores = self._over_length(running.scores, int(lengths[0, 0]))
        ends = np.ones_like(self._is_finished)
        self._merge(_Beams(running.tokens, running.log_probs, scores, lengths), ends)

    def _check_found(self) -> None:
        """Refuse a temperature that takes every score below the stand-in for -inf, which then wins with no token.

        Raises:
            OptionError: an utterance has nothing but that stand-in.
        """
        sampling = self._plan.sampling
        lost = ~self._is_finished[:, 0]
        if sampling is not None and sampling.temperature < 1 and lost.any():
            raise OptionError(
                f"temperature {sampling.temperature} divides the scores of utterance {int(lost.argmax())} to below "
                f"{NEVER:.0e}, where beam search holds them for impossible, wanted higher scores; raise temperature, "
                "or leave do_sample out"
            )

    def _over_length(self, scores: Float32, length: int) -> Float32:
        return scores / np.float32(length**self._plan.length_penalty)

    def _hypotheses(self) -> tuple[tuple[ScoredSequence, ...], ...]:
        found, returned = self._finished, range(self._plan.num_return_sequences)
        prompt = len(self._plan.prompt)

        def sequence_of(utterance: int, rank: int) -> ScoredSequence:
            length = int(found.lengths[utterance, rank])
            tokens = found.tokens[utterance, rank, : prompt + length].tolist()
            log_probs = found.log_probs[utterance, rank, :length].tolist()
            return ScoredSequence(tuple(tokens), float(found.scores[utterance, rank]), tuple(log_probs))

        return tuple(tuple(sequence_of(b, k) for k in returned) for b in range(len(self._utterances)))
