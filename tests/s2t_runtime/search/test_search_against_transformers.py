"""The search against transformers' generate() on a tiny random model, over random options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.reference.eager_search import (
    EOS,
    PAD,
    START,
    VOCAB,
    EagerStep,
    eager,
    plan_of_options,
    profile,
    quiet_eager,
    tiny,
)

from s2t_runtime.options.plan import SearchPlan
from s2t_runtime.search import beam_search
from s2t_runtime.search.search import SearchResult, search

TIE = 1e-5  # hypotheses closer than this may change places between two float32 computations
PROFILE = profile(60)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_eager():
        yield


def _compare(states: torch.Tensor, options: dict[str, Any], found: SearchResult) -> None:
    model = tiny().model
    wanted = eager(states, options)
    plan = plan_of_options(options)
    ours = [hypothesis for ranked in found.hypotheses for hypothesis in ranked]
    assert len(ours) == len(wanted.sequences)
    prompt = len(plan.prompt)
    if plan.num_beams > 1:
        theirs = wanted.sequences_scores.numpy()
        transitions = model.compute_transition_scores(
            wanted.sequences, wanted.scores, wanted.beam_indices
        ).numpy()
        lengths = (wanted.beam_indices >= 0).sum(dim=1).tolist()
    else:
        lengths = [_greedy_length(row[prompt:], plan.eos_token_ids) for row in wanted.sequences.tolist()]
    for row, hypothesis in enumerate(ours):
        expected = wanted.sequences[row, : prompt + lengths[row]].tolist()
        if list(hypothesis.tokens) != expected and _near_tie(wanted, row, hypothesis.score, plan):
            continue
        assert list(hypothesis.tokens) == expected
        if plan.num_beams > 1:
            np.testing.assert_allclose(hypothesis.score, theirs[row], rtol=1e-4, atol=1e-4)
            chosen = transitions[row, : lengths[row]]
            np.testing.assert_allclose(hypothesis.log_probs, chosen, rtol=1e-4, atol=1e-4)
        elif plan.forced_bos_token_id is None and not plan.forced_eos_token_ids:
            raw = torch.stack(wanted.logits)[: lengths[row], row].log_softmax(dim=-1)
            chosen = raw.gather(1, torch.tensor(expected[prompt:])[:, None])[:, 0].numpy()
            np.testing.assert_allclose(hypothesis.log_probs, chosen, rtol=1e-4, atol=1e-4)


def _greedy_length(tokens: list[int], eos: tuple[int, ...]) -> int:
    ends = [place for place, token in enumerate(tokens) if token in eos]
    return ends[0] + 1 if ends else len(tokens)


def _near_tie(wanted: Any, row: int, score: float, plan: SearchPlan) -> bool:
    if plan.num_beams > 1:
        return abs(float(wanted.sequences_scores[row]) - score) < TIE * max(1.0, 0.1 * abs(score))
    best = torch.stack(wanted.scores)[:, row].topk(2, dim=-1).values
    return bool(((best[:, 0] - best[:, 1]) < TIE).any())


TOKEN = st.integers(0, VOCAB - 1)
TOKENS = st.lists(TOKEN, min_size=1, max_size=6, unique=True).map(tuple)
WORD = st.lists(TOKEN, min_size=1, max_size=3).map(tuple)


def most_tokens(utterance: int, tokens: Any) -> list[int]:
    """Allows all but every fifth token, by the last one."""
    last = int(tokens[-1])
    return [token for token in range(VOCAB) if (token + last + utterance) % 5]


def few_tokens(utterance: int, tokens: Any) -> list[int]:
    """Allows twelve tokens, the end among them now and then; enough for five beams to differ."""
    last = int(tokens[-1])
    return [(7 * last + utterance + 3 * step) % VOCAB for step in range(12)]


@st.composite
def option_sets(draw: st.DrawFn) -> dict[str, Any]:
    beams = draw(st.integers(1, 5))
    options: dict[str, Any] = {"num_beams": beams, "num_return_sequences": draw(st.integers(1, beams))}
    if beams > 1:
        options["length_penalty"] = draw(st.sampled_from((-1.0, 0.0, 0.6, 1.0, 2.0)))
        options["early_stopping"] = draw(st.sampled_from((True, False, "never")))
    prompt = draw(st.sampled_from((None, None, (START, 7), (9, 8, 7), (PAD, 7), (START, PAD, EOS))))
    if prompt is not None:
        options["decoder_prompt_ids"] = prompt
    room = draw(st.integers(1, 9))
    options["max_new_tokens"] = room
    optional: dict[str, st.SearchStrategy[Any]] = {
        "min_new_tokens": st.integers(0, room),
        "min_length": st.integers(0, room + 1),
        "eos_token_id": st.sampled_from(((2, 5), (2, 5, 11, 17), 9)),
        "forced_eos_token_id": st.sampled_from((2, (2, 5))),
        "suppress_tokens": TOKENS,
        "begin_suppress_tokens": TOKENS,
        "no_repeat_ngram_size": st.integers(1, 3),
        "repetition_penalty": st.sampled_from((0.6, 0.9, 1.2, 2.0)),
        "bad_words_ids": st.lists(
            st.lists(TOKEN, min_size=1, max_size=3).map(tuple), min_size=1, max_size=6
        ).map(tuple),
        "sequence_bias": st.dictionaries(WORD, st.floats(-4, 4, width=16), min_size=1, max_size=8).map(
            lambda biases: tuple(biases.items())
        ),
        "exponential_decay_length_penalty": st.tuples(st.integers(0, 4), st.sampled_from((0.7, 1.05, 1.5))),
        "renormalize_logits": st.just(True),
        "prefix_allowed_tokens_fn": st.sampled_from((most_tokens, few_tokens)),
    }
    for name, values in optional.items():
        if draw(st.integers(0, 2)) == 0:
            options[name] = draw(values)
    if "min_new_tokens" in options:
        options.pop("min_length", None)
    if options.get("prefix_allowed_tokens_fn") is few_tokens:
        # Nothing may be left of a row then, of which transformers makes NaN.
        options.pop("renormalize_logits", None)
    if prompt is None and draw(st.integers(0, 3)) == 0:
        options["forced_bos_token_id"] = draw(TOKEN)
    # transformers refuses to force what it suppresses, and so does plan_search.
    spared = {options.get("forced_bos_token_id"), 2}
    kept = tuple(token for token in options.pop("suppress_tokens", ()) if token not in spared)
    return {**options, "suppress_tokens": kept} if kept else options


@PROFILE
@given(
    options=option_sets(),
    batch=st.integers(1, 3),
    first=st.integers(0, 5),
    max_candidates=st.sampled_from((1, 16, 1000)),
)
def test_same_as_generate(
    options: dict[str, Any],
    batch: int,
    first: int,
    max_candidates: int,
) -> None:
    chosen = tiny().states[first : first + batch]
    found = search(EagerStep(chosen), plan_of_options(options), batch, max_candidates=max_candidates)
    _compare(chosen, options, found)


@PROFILE
@given(
    beams=st.integers(2, 5),
    early_stopping=st.sampled_from((True, False, "never")),
    length_penalty=st.sampled_from((-1.0, 0.0, 1.0, 2.0)),
    batch=st.integers(1, 3),
    first=st.integers(0, 5),
    room=st.integers(4, 24),
)
def test_same_as_generate_without_rules(
    beams: int,
    early_stopping: bool | str,
    length_penalty: float,
    batch: int,
    first: int,
    room: int,
) -> None:
    options = {
        "num_beams": beams,
        "num_return_sequences": beams,
        "early_stopping": early_stopping,
        "length_penalty": length_penalty,
        "max_new_tokens": room,
    }
    chosen = tiny().states[first : first + batch]
    found = search(EagerStep(chosen), plan_of_options(options), batch, max_candidates=1000)
    _compare(chosen, options, found)


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default")
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    "lengths",
    [
        {},
        {"max_length": 6},
        {"max_length": 9, "min_length": 7},
        {"decoder_prompt_ids": (9, 8)},
        {"decoder_prompt_ids": (9, 8), "min_new_tokens": 8},
        {"decoder_prompt_ids": (9, 8), "max_length": 7, "min_length": 6},
    ],
)
def test_lengths_are_those_of_generate(lengths: dict[str, Any], beams: int) -> None:
    states, options = tiny().states, {"num_beams": beams, **lengths}
    found = search(EagerStep(states), plan_of_options(options), len(states), max_candidates=1000)
    _compare(states, options, found)


def test_the_model_ends_some_hypotheses_and_not_others() -> None:
    states = tiny().states
    plan = plan_of_options({"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 12})
    found = search(EagerStep(states), plan, len(states), max_candidates=1000)
    ended = [h.tokens[-1] == EOS for ranked in found.hypotheses for h in ranked]
    assert any(ended)
    assert not all(ended)


def test_a_batch_ends_as_its_utterances_do_alone() -> None:
    states = tiny().states
    for beams in (1, 3):
        plan = plan_of_options({"num_beams": beams, "num_return_sequences": beams, "max_new_tokens": 14})
        together = search(EagerStep(states), plan, len(states), max_candidates=1000)
        for row, ranked in enumerate(together.hypotheses):
            alone = search(EagerStep(states[row : row + 1]), plan, 1, max_candidates=1000).hypotheses[0]
            assert [h.tokens for h in ranked] == [h.tokens for h in alone]


def _over_prompt_too(self: beam_search.BeamSearch, scores: Any, length: int) -> Any:
    return scores / np.float32((length + len(self._plan.prompt)) ** self._plan.length_penalty)


def _mismatches(**changes: Any) -> int:
    """How many of a fixed set of searches differ from eager where the plan is changed behind its back."""
    states, count = tiny().states, 0
    for early_stopping in (True, False, "never"):
        options = {
            "num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 14, "length_penalty": 1.0,
            "early_stopping": early_stopping,
        }  # fmt: skip
        plan = dataclasses.replace(plan_of_options(options), **changes)
        found = search(EagerStep(states), plan, len(states), max_candidates=1000)
        try:
            _compare(states, options, found)
        except AssertionError:
            count += 1
    return count


def test_the_comparison_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _mismatches() == 0
    assert _mismatches(early_stopping=False) > 0
    assert _mismatches(eos_token_ids=(EOS, 5)) > 0
    assert _mismatches(no_repeat_ngram_size=2) > 0
    monkeypatch.setattr(beam_search.BeamSearch, "_over_length", _over_prompt_too)
    assert _mismatches() > 0
