"""Sampling against transformers: the same scores from the same logits, and the same draws from the same noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support.doubles.sampling_noise import our_noise
from support.reference.eager_search import (
    EOS,
    VOCAB,
    EagerStep,
    eager,
    plan_of_options,
    profile,
    quiet_eager,
    tiny,
)
from transformers import LogitsProcessor, LogitsProcessorList

from s2t_runtime.search import beam_search, greedy, sampling, warpers
from s2t_runtime.search.rows import RowSource
from s2t_runtime.search.search import SearchResult, search
from s2t_runtime.sessions.protocol import Candidates, Int64

PROFILE = profile(40)
SEED = 11


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_eager():
        yield


TOKEN = st.integers(0, VOCAB - 1)


@st.composite
def option_sets(draw: st.DrawFn, *, widths: tuple[int, ...] = (1, 2, 4)) -> dict[str, Any]:
    beams = draw(st.sampled_from(widths))
    returned = draw(st.integers(1, 3 if beams == 1 else beams))
    room = draw(st.integers(2, 8))
    options: dict[str, Any] = {
        "do_sample": True, "num_beams": beams, "num_return_sequences": returned,
        "max_new_tokens": room,
    }  # fmt: skip
    optional: dict[str, st.SearchStrategy[Any]] = {
        "temperature": st.sampled_from((0.3, 0.8, 1.5, 4.0)),
        "top_k": st.sampled_from((0, 3, 12, 50)),
        "top_p": st.sampled_from((0.3, 0.8, 0.97)),
        "min_p": st.sampled_from((0.02, 0.2)),
        "typical_p": st.sampled_from((0.3, 0.9)),
        "top_h": st.sampled_from((0.3, 0.8)),
        "epsilon_cutoff": st.sampled_from((0.003, 0.03)),
        "eta_cutoff": st.sampled_from((0.003, 0.1)),
        "renormalize_logits": st.just(True),
        "repetition_penalty": st.sampled_from((0.8, 1.4)),
        "no_repeat_ngram_size": st.integers(1, 3),
        "min_new_tokens": st.integers(1, room),
        "forced_eos_token_id": st.just(EOS),
        "forced_bos_token_id": TOKEN,
        "suppress_tokens": st.just((4, 9, 13)),
        "sequence_bias": st.just((((5,), 2.0), ((6, 7), -3.0), ((8,), -1.5))),
        "exponential_decay_length_penalty": st.just((1, 1.2)),
        "eos_token_id": st.just((2, 5)),
    }
    if beams > 1:
        optional["length_penalty"] = st.sampled_from((-0.5, 0.0, 2.0))
        optional["early_stopping"] = st.sampled_from((True, "never"))
    for name, values in optional.items():
        if draw(st.integers(0, 3)) == 0:
            options[name] = draw(values)
    return options


class Histories(LogitsProcessor):
    """Keeps what eager's processors are given at each step, and changes nothing."""

    def __init__(self) -> None:
        self.steps: list[np.ndarray] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps.append(input_ids.numpy().copy())
        return scores


def scores_of(options: dict[str, Any], histories: np.ndarray, logits: torch.Tensor) -> np.ndarray:
    """The scores that tokens are drawn by, float32 [rows, vocab], from eager's own logits [rows, vocab]."""
    plan = plan_of_options(options)
    width = plan.num_beams if plan.num_beams > 1 else plan.num_return_sequences
    shape = (len(logits) // width, width, -1)
    rows_logits = logits.numpy().reshape(shape)

    def step(*_: Any, with_logits: bool = False) -> Candidates:
        return Candidates(
            np.empty(0, np.float32), np.empty(0, np.int64), rows_logits if with_logits else None
        )

    seen = histories.reshape(shape)
    active = np.ones(seen.shape[:2], dtype=np.bool_)
    source = RowSource(step, plan, keep=2, max_candidates=1)
    rows = source.rows(seen[..., -1:], np.zeros(seen.shape[:2], np.int64), seen, active)
    whole = np.full(rows_logits.shape, -np.inf, dtype=np.float32)
    np.put_along_axis(whole, rows.ids, rows.scores, axis=-1)
    return whole.reshape(len(logits), -1)


def differing_rows(options: dict[str, Any], first: int, batch: int) -> int:
    """How many of eager's rows of processed scores, over all steps, differ from ours; asserts their dtype."""
    seen, count = Histories(), 0
    torch.manual_seed(first)
    found = eager(
        tiny().states[first : first + batch], {**options, "logits_processor": LogitsProcessorList([seen])}
    )
    for histories, logits, wanted in zip(seen.steps, found.logits, found.scores, strict=True):
        got, theirs = scores_of(options, histories, logits), wanted.numpy()
        assert got.dtype == np.float32
        close = np.isclose(got, theirs, rtol=1e-6, atol=1e-6)
        count += int((~(close | (got == theirs)).all(axis=-1)).sum())
    return count


@PROFILE
@given(options=option_sets(), batch=st.integers(1, 3), first=st.integers(0, 5))
def test_processed_scores_are_eagers(options: dict[str, Any], batch: int, first: int) -> None:
    assert differing_rows(options, first, batch) == 0


PLAIN: dict[str, Any] = {"do_sample": True, "max_new_tokens": 6}


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    ("plant", "options"),
    [
        ({"top_k": 51}, {"top_k": 5}),
        ({"top_p": 0.85}, {"top_p": 0.8}),
        ({"temperature": 1.001}, {"temperature": 1.1}),
        ({}, {"typical_p": 0.5}),
        ({"min_p": 0.1}, {"min_p": 0.05}),
        ({"renormalize_logits": False}, {"renormalize_logits": True, "top_k": 5}),
    ],
)
def test_the_comparison_of_scores_bites(
    beams: int, plant: dict[str, Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**PLAIN, "num_beams": beams, **options}
    assert differing_rows(asked, 0, 2) == 0
    if plant:
        real = plan_of_options
        monkeypatch.setitem(globals(), "plan_of_options", lambda given: real({**given, **plant}))
    else:
        monkeypatch.setattr(warpers, "typical_p", warpers.top_p)
    assert differing_rows(asked, 0, 2) > 0


def test_transformers_keeps_one_token_more_than_ends_in_beam_sampling() -> None:
    options = {**PLAIN, "num_beams": 2, "top_p": 0.0, "top_k": 1, "eos_token_id": (2, 5)}
    assert plan_of_options(options).sampling.min_tokens_to_keep == 3  # type: ignore[union-attr]
    assert differing_rows(options, 0, 3) == 0
    single = plan_of_options({**options, "num_beams": 1})
    assert single.sampling.min_tokens_to_keep == 1  # type: ignore[union-attr]


# The same noise on both sides


def with_our_noise(options: dict[str, Any], states: torch.Tensor) -> Any:
    """Eager's answer where ``torch.multinomial`` takes numpy's random numbers."""
    plan = plan_of_options(options)
    with our_noise(SEED, len(states), plan.num_beams, plan.num_return_sequences):
        return eager(states, options)


def ours(options: dict[str, Any], states: torch.Tensor) -> SearchResult:
    plan = plan_of_options({**options, "seed": SEED})
    return search(EagerStep(states), plan, len(states), max_candidates=1000)


def differences(options: dict[str, Any], states: torch.Tensor) -> list[str]:
    """What differs between both answers from the same noise."""
    wanted, found = with_our_noise(options, states), ours(options, states)
    plan, model = plan_of_options(options), tiny().model
    beams = plan.num_beams > 1
    transitions = model.compute_transition_scores(
        wanted.sequences, wanted.scores, wanted.beam_indices if beams else None, normalize_logits=not beams
    ).numpy()
    faults = []
    hypotheses = [hypothesis for ranked in found.hypotheses for hypothesis in ranked]
    assert len(hypotheses) == len(wanted.sequences)
    for row, hypothesis in enumerate(hypotheses):
        length = len(hypothesis.log_probs)
        tokens = wanted.sequences[row].tolist()
        rest = tokens[len(plan.prompt) + length :]
        if list(hypothesis.tokens) != tokens[: len(plan.prompt) + length] or any(
            token not in {plan.pad_token_id, *plan.eos_token_ids} for token in rest
        ):
            faults.append(f"tokens of {row}")
            continue
        if not np.allclose(hypothesis.log_probs, transitions[row, :length], rtol=1e-4, atol=1e-4):
            faults.append(f"log_probs of {row}")
        score = (
            float(wanted.sequences_scores[row]) if beams else raw_score(wanted, row, hypothesis.tokens, plan)
        )
        if not np.isclose(hypothesis.score, score, rtol=1e-4, atol=1e-4):
            faults.append(f"score of {row}")
    return faults


def raw_score(wanted: Any, row: int, tokens: tuple[int, ...], plan: Any) -> float:
    """The score of a sampled hypothesis as the runtime defines it, from eager's raw logits."""
    total = 0.0
    for place, token in enumerate(tokens[len(plan.prompt) :], start=len(plan.prompt)):
        step = place - len(plan.prompt)
        forced = (place == 1 and plan.forced_bos_token_id is not None) or (
            place == plan.max_length - 1 and bool(plan.forced_eos_token_ids)
        )
        total += 0.0 if forced else float(torch.log_softmax(wanted.logits[step][row], dim=-1)[token])
    return total / (len(tokens) - len(plan.prompt)) ** plan.length_penalty


@PROFILE
@given(options=option_sets(widths=(1,)), batch=st.integers(1, 3), first=st.integers(0, 5))
def test_sampling_draws_what_eager_draws(options: dict[str, Any], batch: int, first: int) -> None:
    assert differences(options, tiny().states[first : first + batch]) == []


@PROFILE
@given(options=option_sets(widths=(2, 4)), batch=st.integers(1, 3), first=st.integers(0, 5))
def test_beam_sampling_draws_what_eager_draws(options: dict[str, Any], batch: int, first: int) -> None:
    # What has no probability is drawn in no particular order by torch: so no forced first token, which
    # leaves that to choose from alone, and no top_h, which keeps fewer tokens than are drawn.
    options = {name: value for name, value in options.items() if name not in {"forced_bos_token_id", "top_h"}}
    states = tiny().states[first : first + batch]
    assume(fills_every_beam(options, states))
    assert differences(options, states) == []


def fills_every_beam(options: dict[str, Any], states: torch.Tensor) -> bool:
    """Whether all beams go on from something of a probability.

    The others score -1e9, at which single precision knows steps of 64 only: torch.topk orders such equals
    as it likes, and how many tokens they leave decides which noise the beams behind them get.
    """
    filled, real = [], beam_search.BeamSearch._draw

    def draw(self: beam_search.BeamSearch, scores: Any, places: Int64) -> Int64:
        if self._length > 1:
            filled.append(bool((self._running.scores[self._active[:, 0]] > -1e8).all()))
        return real(self, scores, places)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(beam_search.BeamSearch, "_draw", draw)
        ours(options, states)
    return all(filled)


def one_place_off(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sampling.Sampler._uniform
    monkeypatch.setattr(sampling.Sampler, "_uniform", lambda self: real(self) * 0.97)


def score_of_what_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sampling.Sampler.__call__

    def call(self: sampling.Sampler, rows: Any, running: Any) -> greedy.Choice:
        choice = real(self, rows, running)
        return greedy.Choice(choice.tokens, choice.log_probs, choice.log_probs)

    monkeypatch.setattr(sampling.Sampler, "__call__", call)


def cache_of_the_first_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RowSource.rows

    def rows(self: RowSource, tokens: Int64, beam_index: Int64, *others: Any) -> Any:
        first = np.broadcast_to(beam_index[:, :1], beam_index.shape)
        return real(self, tokens, first.copy(), *others)

    monkeypatch.setattr(RowSource, "rows", rows)


def ranked_instead_of_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(self: beam_search.BeamSearch, scores: Any, places: Int64) -> Int64:
        return np.lexsort((places, -scores), axis=-1)[:, : self._keep]

    monkeypatch.setattr(beam_search.BeamSearch, "_draw", draw)


def drawn_then_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = beam_search.BeamSearch._draw

    def draw(self: beam_search.BeamSearch, scores: Any, places: Int64) -> Int64:
        order = real(self, scores, places)
        ranks = np.argsort(-np.take_along_axis(scores, order, axis=-1), axis=-1, kind="stable")
        return np.take_along_axis(order, ranks, axis=-1)

    monkeypatch.setattr(beam_search.BeamSearch, "_draw", draw)


@pytest.mark.parametrize(
    ("plant", "beams"),
    [
        (one_place_off, 1),
        (score_of_what_was_drawn, 1),
        (cache_of_the_first_sequence, 1),
        (ranked_instead_of_drawn, 3),
        (drawn_then_sorted, 3),
    ],
)
def test_the_comparison_of_draws_bites(
    plant: Callable[[pytest.MonkeyPatch], None], beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**PLAIN, "num_beams": beams, "num_return_sequences": 3, "max_new_tokens": 10, "top_p": 0.95}
    assert differences(options, tiny().states) == []
    plant(monkeypatch)
    assert differences(options, tiny().states) != []
