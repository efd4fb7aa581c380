"""Greedy decoding, transformers' ``_sample`` without sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.beam_search import Hypothesis, SearchResult
from s2t_runtime.options import SearchPlan
from s2t_runtime.rules import Rows, RowSource
from s2t_runtime.session import Float32, Int64, StepFunction


def greedy_search(
    step: StepFunction,
    plan: SearchPlan,
    batch: int,
    *,
    max_candidates: int,
    stop: Callable[[], bool] | None = None,
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
    """
    prompt = len(plan.prompt)
    history = np.empty((batch, 1, plan.max_length), dtype=np.int64)
    history[:, :, :prompt] = plan.prompt
    log_probs = np.zeros((batch, plan.max_length - prompt), dtype=np.float32)
    ended = np.zeros(batch, dtype=np.bool_)
    lengths = np.zeros(batch, dtype=np.int64)
    rows_of_cache = np.arange(batch, dtype=np.int64)[:, None]
    source = RowSource(step, plan, keep=1, max_candidates=max_candidates)
    eos = np.array(plan.eos_token_ids, dtype=np.int64)
    fed, stopped, steps = history[:, :, :prompt].copy(), False, 0
    while not ended.all() and prompt + steps < plan.max_length:
        if steps and stop is not None and stop():
            stopped = True
            break
        length = prompt + steps
        tokens, scores = _best(source.rows(fed, rows_of_cache, history[:, :, :length]))
        if plan.pad_token_id is not None:
            tokens = np.where(ended, plan.pad_token_id, tokens)
        history[:, 0, length] = tokens
        log_probs[:, steps] = scores
        lengths += ~ended
        ended |= (tokens[:, None] == eos).any(axis=-1)
        fed = history[:, :, length : length + 1].copy()
        steps += 1
    found = tuple((_hypothesis(plan, history[b, 0], log_probs[b], int(lengths[b])),) for b in range(batch))
    return SearchResult(found, steps, stopped)


def _best(rows: Rows) -> tuple[Int64, Float32]:
    """Token int64 [batch] and log-probability float32 [batch] of the best, the lower id among equals."""
    ids, scores, log_probs = rows.ids[:, 0], rows.scores[:, 0], rows.log_probs[:, 0]
    best: NDArray[np.bool_] = scores == scores.max(axis=-1, keepdims=True)
    place = np.where(best, ids, np.iinfo(np.int64).max).argmin(axis=-1)[:, None]
    return np.take_along_axis(ids, place, axis=-1)[:, 0], np.take_along_axis(log_probs, place, axis=-1)[:, 0]


def _hypothesis(plan: SearchPlan, tokens: Int64, log_probs: Float32, length: int) -> Hypothesis:
    chosen = log_probs[:length]
    score = float(chosen.sum(dtype=np.float32) / np.float32(length**plan.length_penalty))
    return Hypothesis(tuple(tokens[: len(plan.prompt) + length].tolist()), score, tuple(chosen.tolist()))
