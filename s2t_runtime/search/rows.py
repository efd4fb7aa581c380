"""What may follow each beam: rows of candidates, fetched from the decoder and taken through the rules.

A sparse row holds the best candidates of the graph; a whole row has every token that can be chosen, by rising id.
Whole rows are cut down again to what a search can choose before they are handed out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.bundles.output_vocabulary import columns_of
from s2t_runtime.errors import OptionError
from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.search.deferred_step import DeferredStep
from s2t_runtime.search.probabilities import log_softmax
from s2t_runtime.search.rules import Mask, Rules, StepRules
from s2t_runtime.search.warpers import bounding_warpers, further_warpers
from s2t_runtime.search.whole_row_rules import PrefixConstraint, SequenceBias, decayed
from s2t_runtime.sessions.protocol import Float32, Int64, StepFunction


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


class RowSource:
    """Asks the step function for as many candidates as the rules of the step need."""

    def __init__(self, step: StepFunction, plan: SearchPlan, *, keep: int, max_candidates: int) -> None:
        self._step = DeferredStep(step, joins=plan.joins_prompt)
        self._rules = Rules(plan)
        self._plan = plan
        self._keep = min(keep, plan.width)
        every = np.arange(plan.width, dtype=np.int64) if plan.output_ids is None else plan.output_ids
        self._every = every  # the id of each column of whole rows
        self._ends = columns_of(plan.eos_token_ids, plan.output_ids)
        self._max_candidates = max_candidates
        self._bias = SequenceBias(plan) if plan.sequence_bias else None
        function = plan.prefix_allowed_tokens_fn
        self._constraint = None if function is None else PrefixConstraint(plan, function)

    def rows(self, tokens: Int64, beam_index: Int64, histories: Int64, active: Mask) -> Rows:
        """Decode one step and apply the rules.

        Args:
            tokens: int64 [batch, beams, new], fed to the decoder.
            beam_index: int64 [batch, beams], as in ``StepFunction``.
            histories: int64 [batch, beams, length], prompt and tokens so far, ``tokens`` included.
            active: bool [batch, beams] or [batch, 1], which have not ended; what follows the others is
                of no use to the caller.

        Returns:
            Rows with at least ``keep`` candidates per beam, among them the ``keep`` best; where tokens
            are drawn, all that can be, in the order of their ids.

        Raises:
            OptionError: prefix_allowed_tokens_fn returned no list of token ids, or a score is infinite and
                would be renormalised.
        """
        rules = self._rules.at(histories)
        if rules.forced:
            self._step.defer(tokens, beam_index)
            ids, scores = rules.replaced(beam_index.shape, self._keep, self._every)
            return self._finished(ids, scores, scores)
        wanted = 1 if self._rules.whole_rows else min(self._keep + rules.lowered(), self._plan.width)
        if self._rules.whole_rows or wanted > self._max_candidates:
            logits = self._step(tokens, beam_index, 1, with_logits=True).logits
            return self._whole(logits, rules, histories, active)
        found = self._step(tokens, beam_index, wanted)
        scores = rules.apply(found.ids, found.log_probs)
        return Rows(found.ids, scores, found.log_probs if self._plan.num_beams == 1 else scores)

    def _whole(self, logits: Float32 | None, rules: StepRules, histories: Int64, active: Mask) -> Rows:
        if logits is None:
            raise RuntimeError("the step function returned no logits although they were asked for")
        log_probs = log_softmax(logits)
        single = self._plan.num_beams == 1
        ids = np.broadcast_to(self._every, logits.shape)
        scores = self._ruled(ids, logits if single else log_probs, rules, histories, active)
        if self._plan.renormalize_logits:
            _check_normalisable(scores, active)
        if self._plan.sampling is not None:
            return self._finished(ids, scores, log_probs)
        if self._plan.renormalize_logits:
            scores = _renormalized(scores)
        best = best_of_rows(scores, self._keep)
        kept = np.take_along_axis(scores, best, axis=-1)
        tokens = np.take_along_axis(ids, best, axis=-1)
        return Rows(tokens, kept, np.take_along_axis(log_probs, best, axis=-1) if single else kept)

    def _ruled(
        self, ids: Int64, scores: Float32, rules: StepRules, histories: Int64, active: Mask
    ) -> Float32:
        """Whole rows after all rules but those of sampling and renormalize_logits."""
        if self._bias is not None:
            scores = self._bias(histories, scores)
        scores = rules.apply(ids, scores)
        if self._constraint is not None:
            scores = self._constraint(histories, scores, np.broadcast_to(active, histories.shape[:2]))
        if self._plan.decay is not None:
            # Tokens at -inf stay there, so it may come behind the bans.
            scores = decayed(scores, histories.shape[-1], self._plan.decay, self._ends)
        return scores if rules.late is None else np.where(rules.late[ids], np.float32(-np.inf), scores)

    def _finished(self, ids: Int64, scores: Float32, log_probs: Float32) -> Rows:
        """Rows after the rules of sampling and renormalize_logits, where the plan has them."""
        sampling = self._plan.sampling
        if sampling is not None:
            scores = bounding_warpers(scores, sampling)
            kept = possible_of_rows(scores, self._keep)
            if kept is not None:
                ids = np.take_along_axis(ids, kept, axis=-1)
                scores = np.take_along_axis(scores, kept, axis=-1)
                log_probs = np.take_along_axis(log_probs, kept, axis=-1)
            scores = further_warpers(scores, sampling)
        if self._plan.renormalize_logits:
            scores = _renormalized(scores)
        return Rows(ids, scores, log_probs if self._plan.num_beams == 1 else scores)


def _check_normalisable(scores: Float32, active: Mask) -> None:
    """Refuse scores whose log-probabilities would not be numbers.

    Raises:
        OptionError: a row that has not ended has an infinite score.
    """
    infinite = np.isposinf(scores.max(axis=-1)) & active
    if infinite.any():
        raise OptionError(
            f"a score of utterance {int(np.argwhere(infinite)[0, 0])} is infinite, wanted finite ones to renormalise; "
            "lower exponential_decay_length_penalty or sequence_bias, raise repetition_penalty, or leave "
            "renormalize_logits out"
        )


def _renormalized(scores: Float32) -> Float32:
    """``LogitNormalization``; a row without any token that can follow stays so."""
    possible = scores.max(axis=-1, keepdims=True) > -np.inf
    with np.errstate(invalid="ignore"):  # rows of hypotheses that have ended may hold infinity
        return np.where(possible, log_softmax(np.where(possible, scores, np.float32(0))), scores)


def best_of_rows(scores: NDArray[np.floating], keep: int) -> Int64:
    """Places of the best of whole rows, lower ones first among equals.

    Args:
        scores: any float [..., n].
        keep: how many to keep, at most n.

    Returns:
        int64 [..., keep], in descending order of score.
    """
    flat = scores.reshape(-1, scores.shape[-1])
    best = np.empty((flat.shape[0], keep), dtype=np.int64)
    for row, values in enumerate(flat):
        keys = -values  # sorted upwards, so that NaN comes last, as in C++
        last = np.partition(keys, keep - 1)[keep - 1]
        contenders = np.flatnonzero(~(keys > last))
        best[row] = contenders[np.argsort(keys[contenders], kind="stable")[:keep]]
    return best.reshape(*scores.shape[:-1], keep)


def possible_of_rows(scores: Float32, least: int) -> Int64 | None:
    """Places of whole rows' tokens above -inf, in order, or None where that would leave little out.

    Args:
        scores: float32 [batch, beams, n].
        least: how many places of each row to return at least, at most n.

    Returns:
        int64 [batch, beams, any]; rows with fewer such tokens go on with the first others.
    """
    n = scores.shape[-1]
    possible = scores > -np.inf
    width = max(least, int(possible.sum(axis=-1).max()))
    if 2 * width > n:
        return None
    flat = possible.reshape(-1, n)
    kept = np.empty((flat.shape[0], width), dtype=np.int64)
    for row, mask in enumerate(flat):
        places = np.flatnonzero(mask)
        # Among the first ``width`` there are enough others, however many of these are possible.
        others = np.flatnonzero(~mask[:width])[: width - places.size]
        kept[row] = np.concatenate((places, others))
    return kept.reshape(*scores.shape[:-1], width)
