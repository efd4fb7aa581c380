"""The decoding rules, transformers' logits processors: what each needs, and those that only lower tokens.

They act on ``ids`` int64 and ``scores`` float32, both [batch, beams, n], of sparse or whole rows
(``rows``). Whole rows are fetched only where a rule may raise a token over the candidates (``RULES`` says
which), or where too many would be needed; the rules that need them are in ``whole_row_rules`` and
``warpers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.sessions.protocol import Float32, Int64

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
    "sequence_bias": lambda plan: _when(plan.sequence_bias, Reach.WHOLE_ROW),
    "repetition_penalty": _repetition,
    "no_repeat_ngram_size": lambda plan: _when(plan.no_repeat_ngram_size, Reach.LOWERS),
    "bad_words_ids": lambda plan: _when(plan.bad_words_ids, Reach.LOWERS),
    "min_length": lambda plan: _when(plan.min_length and plan.eos_token_ids, Reach.LOWERS),
    "min_new_tokens": lambda plan: _when(plan.min_new_tokens and plan.eos_token_ids, Reach.LOWERS),
    "prefix_allowed_tokens_fn": lambda plan: _when(plan.prefix_allowed_tokens_fn, Reach.WHOLE_ROW),
    "forced_bos_token_id": lambda plan: _when(plan.forced_bos_token_id is not None, Reach.REPLACES),
    "forced_eos_token_ids": lambda plan: _when(plan.forced_eos_token_ids, Reach.REPLACES),
    "decay": lambda plan: _when(plan.decay, Reach.WHOLE_ROW),
    "suppress_tokens": lambda plan: _when(plan.suppress_tokens, Reach.LOWERS),
    "begin_suppress_tokens": lambda plan: _when(plan.begin_suppress_tokens, Reach.LOWERS),
    # Even top-k draws from whole rows: it keeps all that equal its last, however many these are.
    "sampling": lambda plan: _when(plan.sampling, Reach.WHOLE_ROW),
    "renormalize_logits": lambda plan: _when(plan.renormalize_logits, Reach.WHOLE_ROW),
}


def needs_whole_rows(plan: SearchPlan) -> bool:
    """Whether some rule of the plan cannot be applied to candidates alone."""
    return any(reach(plan) is Reach.WHOLE_ROW for reach in RULES.values())


@dataclass(frozen=True)
class StepRules:
    """The rules as they hold for one step.

    Attributes:
        forced: tokens that replace the row; empty where none does.
        penalised: int64 [batch, beams, any], tokens whose score the penalty lowers, or None.
        penalty: the repetition penalty.
        banned: int64 [batch, beams, any], tokens of single beams that score -inf, -1 for none.
        common: bool [vocab], tokens that score -inf in every beam, or None; common_count of them.
        late: bool [vocab], tokens that score -inf behind the rules of whole rows, or None.
    """

    forced: tuple[int, ...] = ()
    penalised: Int64 | None = None
    penalty: float = 1.0
    banned: Int64 | None = None
    common: Mask | None = None
    common_count: int = 0
    late: Mask | None = None

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
            # In single precision the penalty may be infinite, or zero.
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                penalised = np.where(scores < 0, scores * self.penalty, scores / self.penalty)
            scores = np.where(_among(ids, self.penalised, scores), penalised, scores)
        if self.banned is not None:
            scores = np.where(_among(ids, self.banned, scores), np.float32(-np.inf), scores)
        if self.common is not None:
            scores = np.where(self.common[ids], np.float32(-np.inf), scores)
        return scores

    def replaced(self, rows: tuple[int, ...], keep: int, every: Int64) -> tuple[Int64, Float32]:
        """Ids and scores of the rows [batch, beams] that forced tokens leave: 0, and -inf for ``keep`` others.

        ``every`` is int64, the ids that can be chosen, in rising order.
        """
        distinct = sorted(set(self.forced))
        lowest = every[: keep + len(distinct)].tolist()
        row = np.array(distinct + [token for token in lowest if token not in distinct], dtype=np.int64)
        ids = np.broadcast_to(row, (*rows, row.size))
        scores = np.full(ids.shape, -np.inf, dtype=np.float32)
        scores[..., : len(distinct)] = 0.0
        scores = scores if self.common is None else np.where(self.common[ids], np.float32(-np.inf), scores)
        return ids, scores


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
        # A prefix constraint looks at what the rules before it left, and suppressed tokens come behind it.
        self._suppresses_late = plan.prefix_allowed_tokens_fn is not None
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
            late = self._common(short=False, begin=begin, forced=True)[0] if self._suppresses_late else None
            return StepRules((), penalised, plan.repetition_penalty, banned, common, count, late)
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
            tokens: set[int] = set()
            if forced or not self._suppresses_late:
                tokens |= set(self.plan.suppress_tokens)
                tokens |= set(self.plan.begin_suppress_tokens) if begin else set()
            tokens |= set() if forced else self._single_words
            tokens |= set(self.plan.eos_token_ids) if short else set()
            table = np.zeros(self.plan.vocab_size, dtype=np.bool_)
            table[list(tokens)] = True
            self._commons[key] = (table if tokens else None, len(tokens))
        return self._commons[key]
