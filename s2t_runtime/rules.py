"""The decoding rules, transformers' logits processors, on sparse or whole rows.

A row is ``ids`` int64 and ``scores`` float32, both [batch, beams, n]. A sparse row holds the best
candidates of the graph; a whole row is n = vocabulary with ids 0, 1, 2 ... Whole rows are fetched only
where a rule may raise a token over the candidates (``RULES`` says which), or where too many would be needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from s2t_runtime.options import SearchPlan
from s2t_runtime.session import Float32, Int64, StepFunction

Mask = NDArray[np.bool_]


class Reach(Enum):
    """What a rule does to a row, and so what has to be fetched for it."""

    OFF = "the plan does not use it"
    LOWERS = "only lowers tokens: as many more candidates as tokens lowered make sparse rows exact"
    WHOLE_ROW = "may raise tokens, or needs raw logits: the whole row is fetched"
    REPLACES = "replaces the row while it holds: nothing of the graph's is needed"


def _repetition(plan: SearchPlan) -> Reach:
    if plan.repetition_penalty == 1.0:
        return Reach.OFF
    # Log-probabilities are never positive, so a penalty above 1 lowers them; raw logits, which greedy
    # decoding penalises, have both signs, and their size does not follow from the candidates.
    return Reach.LOWERS if plan.num_beams > 1 and plan.repetition_penalty > 1.0 else Reach.WHOLE_ROW


def _when(active: object, reach: Reach) -> Reach:
    return reach if active else Reach.OFF


# In the order of transformers' ``_get_logits_processor``.
RULES: Mapping[str, Callable[[SearchPlan], Reach]] = {
    "repetition_penalty": _repetition,
    "no_repeat_ngram_size": lambda plan: _when(plan.no_repeat_ngram_size, Reach.LOWERS),
    "bad_words_ids": lambda plan: _when(plan.bad_words_ids, Reach.LOWERS),
    "min_length": lambda plan: _when(plan.min_length and plan.eos_token_ids, Reach.LOWERS),
    "min_new_tokens": lambda plan: _when(plan.min_new_tokens and plan.eos_token_ids, Reach.LOWERS),
    "forced_bos_token_id": lambda plan: _when(plan.forced_bos_token_id is not None, Reach.REPLACES),
    "forced_eos_token_ids": lambda plan: _when(plan.forced_eos_token_ids, Reach.REPLACES),
    "suppress_tokens": lambda plan: _when(plan.suppress_tokens, Reach.LOWERS),
    "begin_suppress_tokens": lambda plan: _when(plan.begin_suppress_tokens, Reach.LOWERS),
}


def needs_whole_rows(plan: SearchPlan) -> bool:
    """Whether some rule of the plan cannot be applied to candidates alone."""
    return any(reach(plan) is Reach.WHOLE_ROW for reach in RULES.values())


@dataclass(frozen=True)
class Rows:
    """What may follow each beam.

    Attributes:
        ids: int64 [batch, beams, n].
        scores: float32 [batch, beams, n], what tokens are chosen by, after the rules.
        log_probs: float32 [batch, beams, n], what is reported of a chosen token; the scores
            themselves in beam search.
    """

    ids: Int64
    scores: Float32
    log_probs: Float32


@dataclass(frozen=True)
class StepRules:
    """The rules as they hold for one step.

    Attributes:
        forced: tokens that replace the row; empty where none does.
        penalised: int64 [batch, beams, any], tokens whose score the penalty lowers, or None.
        penalty: the repetition penalty.
        banned: int64 [batch, beams, any], tokens of single beams that score -inf, -1 for none.
        common: bool [vocab], tokens that score -inf in every beam, or None; common_count of them.
    """

    forced: tuple[int, ...] = ()
    penalised: Int64 | None = None
    penalty: float = 1.0
    banned: Int64 | None = None
    common: Mask | None = None
    common_count: int = 0

    def lowered(self) -> int:
        """How many distinct tokens of a beam these rules may lower, at most over the beams."""
        present = [tokens for tokens in (self.penalised, self.banned) if tokens is not None]
        if not present:
            return self.common_count
        own = np.concatenate(present, axis=-1)
        if self.common is not None:  # counted already
            own = np.where(self.common[own], -1, own)
        beams = own.reshape(-1, own.shape[-1]).tolist()
        return self.common_count + max(len(set(tokens) - {-1}) for tokens in beams)

    def apply(self, ids: Int64, scores: Float32) -> Float32:
        """Scores after the rules that lower, float32 [batch, beams, n].

        Bans commute, so those of all rules are applied together, after the penalty as in transformers.
        """
        if self.penalised is not None:
            penalised = np.where(scores < 0, scores * self.penalty, scores / self.penalty)
            scores = np.where(_among(ids, self.penalised, scores), penalised, scores)
        if self.banned is not None:
            scores = np.where(_among(ids, self.banned, scores), np.float32(-np.inf), scores)
        if self.common is not None:
            scores = np.where(self.common[ids], np.float32(-np.inf), scores)
        return scores

    def replaced(self, rows: tuple[int, ...], keep: int, vocab_size: int) -> Rows:
        """The rows [batch, beams] that forced tokens leave: 0 for those, -inf for ``keep`` others."""
        distinct = sorted(set(self.forced))
        lowest = range(min(keep + len(distinct), vocab_size))
        row = np.array(distinct + [token for token in lowest if token not in distinct], dtype=np.int64)
        ids = np.broadcast_to(row, (*rows, row.size))
        scores = np.full(ids.shape, -np.inf, dtype=np.float32)
        scores[..., : len(distinct)] = 0.0
        scores = scores if self.common is None else np.where(self.common[ids], np.float32(-np.inf), scores)
        return Rows(ids, scores, scores)


def _among(ids: Int64, tokens: Int64, scores: Float32) -> Mask:
    """Whether each id is one of its beam's tokens, bool [batch, beams, n]; -1 is no token."""
    if ids.shape[-1] * tokens.shape[-1] < 1 << 14:
        found: Mask = (ids[..., None] == tokens[:, :, None, :]).any(axis=-1)
        return found
    # One spare column at the end takes the -1s.
    table = np.zeros((*scores.shape[:2], int(ids.max()) + 2), dtype=np.bool_)
    inside = np.where(tokens < table.shape[-1] - 1, tokens, -1)
    np.put_along_axis(table, np.where(inside < 0, table.shape[-1] - 1, inside), True, axis=-1)  # noqa: FBT003
    return np.take_along_axis(table, np.broadcast_to(ids, scores.shape), axis=-1)


def repeated_ngrams(histories: Int64, size: int) -> Int64:
    """Tokens that would repeat an n-gram, after ``NoRepeatNGramLogitsProcessor``.

    Args:
        histories: int64 [batch, beams, length].
        size: n of the n-grams, at least 1.

    Returns:
        int64 [batch, beams, windows], the token that each earlier occurrence of the beam's last
        ``size - 1`` tokens went on with, -1 where a window is no such occurrence.
    """
    batch, beams, length = histories.shape
    if length < size:
        return np.full((batch, beams, 0), -1, dtype=np.int64)
    prefix = histories[:, :, length + 1 - size :]
    windows = sliding_window_view(histories, size, axis=-1)
    matches = (windows[..., :-1] == prefix[:, :, None, :]).all(axis=-1)
    return np.where(matches, windows[..., -1], -1)


def completed_words(histories: Int64, words: tuple[tuple[int, ...], ...]) -> Int64:
    """Last tokens of the words that are complete but for them, after ``SequenceBiasLogitsProcessor``.

    Args:
        histories: int64 [batch, beams, length].
        words: token sequences of two tokens or more.

    Returns:
        int64 [batch, beams, words that fit], -1 where the beam does not end in the word's beginning.
    """
    batch, beams, length = histories.shape
    columns = [np.full((batch, beams, 0), -1, dtype=np.int64)]
    for size in sorted({len(word) for word in words if len(word) <= length + 1}):
        group = np.array([word for word in words if len(word) == size], dtype=np.int64)
        ends = histories[:, :, None, length + 1 - size :]
        columns.append(np.where((ends == group[:, :-1]).all(axis=-1), group[:, -1], -1))
    return np.concatenate(columns, axis=-1)


class Rules:
    """The rules of one plan; ``at`` gives those of one step."""

    def __init__(self, plan: SearchPlan) -> None:
        self.plan = plan
        self.whole_rows = needs_whole_rows(plan)
        # An end token is never a bad word by itself, as in NoBadWordsLogitsProcessor.
        single = {word[0] for word in plan.bad_words_ids if len(word) == 1} - set(plan.eos_token_ids)
        self._single_words = frozenset(single)
        self._long_words = tuple(word for word in plan.bad_words_ids if len(word) > 1)
        self._least = max(plan.min_length, len(plan.prompt) + plan.min_new_tokens)
        self._commons: dict[tuple[bool, bool, bool], tuple[Mask | None, int]] = {}

    def at(self, histories: Int64) -> StepRules:
        """The rules for the token that follows histories int64 [batch, beams, length]."""
        plan, length = self.plan, histories.shape[-1]
        begin = length == plan.begin_index
        # forced_eos comes after forced_bos and replaces what that one left.
        if plan.forced_eos_token_ids and length == plan.max_length - 1:
            forced = plan.forced_eos_token_ids
        elif plan.forced_bos_token_id is not None and length == 1:
            forced = (plan.forced_bos_token_id,)
        else:
            common, count = self._common(short=length < self._least, begin=begin, forced=False)
            penalised = None if plan.repetition_penalty == 1.0 else histories
            banned = self._banned(histories)
            return StepRules((), penalised, plan.repetition_penalty, banned, common, common_count=count)
        common, count = self._common(short=False, begin=begin, forced=True)
        return StepRules(forced, common=common, common_count=count)

    def _banned(self, histories: Int64) -> Int64 | None:
        found = []
        if self.plan.no_repeat_ngram_size:
            found.append(repeated_ngrams(histories, self.plan.no_repeat_ngram_size))
        if self._long_words:
            found.append(completed_words(histories, self._long_words))
        tokens = np.concatenate(found, axis=-1) if found else None
        return tokens if tokens is not None and (tokens >= 0).any() else None

    def _common(self, *, short: bool, begin: bool, forced: bool) -> tuple[Mask | None, int]:
        key = (short, begin, forced)
        if key not in self._commons:
            tokens = set(self.plan.suppress_tokens)
            tokens |= set() if forced else self._single_words
            tokens |= set(self.plan.eos_token_ids) if short else set()
            tokens |= set(self.plan.begin_suppress_tokens) if begin else set()
            table = np.zeros(self.plan.vocab_size, dtype=np.bool_)
            table[list(tokens)] = True
            self._commons[key] = (table if tokens else None, len(tokens))
        return self._commons[key]


class RowSource:
    """Asks the step function for as many candidates as the rules of the step need."""

    def __init__(self, step: StepFunction, plan: SearchPlan, *, keep: int, max_candidates: int) -> None:
        self._step = step
        self._rules = Rules(plan)
        self._plan = plan
        self._keep = min(keep, plan.vocab_size)
        self._max_candidates = max_candidates

    def rows(self, tokens: Int64, beam_index: Int64, histories: Int64) -> Rows:
        """Decode one step and apply the rules.

        Args:
            tokens: int64 [batch, beams, new], fed to the decoder.
            beam_index: int64 [batch, beams], as in ``StepFunction``.
            histories: int64 [batch, beams, length], prompt and tokens so far, ``tokens`` included.

        Returns:
            Rows with at least ``keep`` candidates per beam, among them the ``keep`` best.
        """
        rules = self._rules.at(histories)
        if rules.forced:
            self._step(tokens, beam_index, 1)  # for the cache alone
            return rules.replaced(beam_index.shape, self._keep, self._plan.vocab_size)
        wanted = 1 if self._rules.whole_rows else min(self._keep + rules.lowered(), self._plan.vocab_size)
        if self._rules.whole_rows or wanted > self._max_candidates:
            return self._whole(self._step(tokens, beam_index, 1, with_logits=True).logits, rules)
        found = self._step(tokens, beam_index, wanted)
        scores = rules.apply(found.ids, found.log_probs)
        return Rows(found.ids, scores, found.log_probs if self._plan.num_beams == 1 else scores)

    def _whole(self, logits: Float32 | None, rules: StepRules) -> Rows:
        if logits is None:
            raise RuntimeError("the step function returned no logits although they were asked for")
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        greedy = self._plan.num_beams == 1
        ids = np.broadcast_to(np.arange(logits.shape[-1], dtype=np.int64), logits.shape)
        scores = rules.apply(ids, logits if greedy else log_probs)
        best = best_of_rows(scores, self._keep)
        kept = np.take_along_axis(scores, best, axis=-1)
        return Rows(best, kept, np.take_along_axis(log_probs, best, axis=-1) if greedy else kept)


def best_of_rows(scores: Float32, keep: int) -> Int64:
    """Ids of the best of whole rows, lower ids first among equals.

    Args:
        scores: float32 [batch, beams, vocab].
        keep: how many to keep, at most vocab.

    Returns:
        int64 [batch, beams, keep], in descending order of score.
    """
    flat = scores.reshape(-1, scores.shape[-1])
    best = np.empty((flat.shape[0], keep), dtype=np.int64)
    for row, values in enumerate(flat):
        least = np.partition(values, values.size - keep)[values.size - keep]
        contenders = np.flatnonzero(values >= least)
        best[row] = contenders[np.argsort(-values[contenders], kind="stable")[:keep]]
    return best.reshape(*scores.shape[:-1], keep)
