"""Tokens that are forced: fed with what comes behind them, or never."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s2t_runtime
from s2t_runtime.search.deferred_step import DeferredStep
from s2t_runtime.search.search import search
from s2t_runtime.sessions.protocol import Int64


def script(utterance: int, history: tuple[int, ...]) -> list[float]:
    """Logits that depend on every token of a history."""
    generator = np.random.default_rng([utterance, *history])
    return list(generator.normal(size=8))


def ids(*rows: Any) -> Int64:
    return np.array(rows, dtype=np.int64)


PROMPT = ids([[0, 4]], [[0, 4]])  # two utterances
OWN = ids([0], [1])
EACH = ids([0, 0, 0], [1, 1, 1])


@pytest.fixture
def plain(scripted: Any) -> Any:
    return scripted(script)


@pytest.fixture
def step(scripted: Any) -> Any:
    return scripted(script)


@pytest.mark.parametrize("with_logits", [False, True])
def test_one_call_for_all_beams_and_the_later_ones_continue_its_rows(
    plain: Any, step: Any, with_logits: bool
) -> None:
    deferred = DeferredStep(step)
    deferred.defer(PROMPT, OWN)
    plain(PROMPT, OWN, 1)
    crossed = ids([2, 0, 1], [5, 5, 3])
    calls = [
        (ids([[6]] * 3, [[6]] * 3), EACH),
        (ids([[2], [3], [4]], [[5], [6], [7]]), crossed),
        (ids([[7], [6], [5]], [[4], [3], [2]]), crossed),
    ]
    for tokens, beam_index in calls:
        found = deferred(tokens, beam_index, 4, with_logits=with_logits)
        wanted = plain(tokens, beam_index, 4, with_logits=with_logits)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.log_probs, wanted.log_probs)
        if wanted.logits is None:
            assert found.logits is None
        else:
            np.testing.assert_array_equal(found.logits, wanted.logits)
    assert [call.new for call in step.calls] == [3, 1, 1]
    assert [call.beam_index.tolist() for call in step.calls] == [
        [[0], [1]],
        [[0, 0, 0], [1, 1, 1]],  # one row per utterance still
        crossed.tolist(),
    ]


def test_beams_that_differ_are_fed_one_by_one(plain: Any, step: Any) -> None:
    deferred = DeferredStep(step)
    deferred.defer(PROMPT, OWN)
    plain(PROMPT, OWN, 1)
    tokens = ids([[6], [6], [5]], [[6]] * 3)
    found, wanted = (one(tokens, EACH, 4) for one in (deferred, plain))
    np.testing.assert_array_equal(found.ids, wanted.ids)
    assert [call.new for call in step.calls] == [2, 1]


def test_nothing_is_joined_where_the_decoder_would_see_it_elsewhere(plain: Any, step: Any) -> None:
    deferred = DeferredStep(step, joins=False)
    deferred.defer(PROMPT, OWN)
    plain(PROMPT, OWN, 1)
    crossed = ids([2, 0, 1], [5, 5, 3])
    for tokens, beam_index in (
        (ids([[6]] * 3, [[6]] * 3), EACH),
        (ids([[2], [3], [4]], [[5], [6], [7]]), crossed),
    ):
        found, wanted = (one(tokens, beam_index, 4) for one in (deferred, plain))
        np.testing.assert_array_equal(found.ids, wanted.ids)
    assert [call.new for call in step.calls] == [2, 1, 1]


@pytest.mark.parametrize("joins", [True, False])
def test_a_search_obeys_its_plan(plan_of: Any, step: Any, joins: bool) -> None:
    plan = dataclasses.replace(
        plan_of(num_beams=2, max_new_tokens=3, forced_bos_token_id=6), joins_prompt=joins
    )
    search(step, plan, 2, max_candidates=100)
    assert [call.new for call in step.calls][:2] == ([2, 1] if joins else [1, 1])


def test_what_waits_is_fed_before_more_may_wait(step: Any) -> None:
    deferred = DeferredStep(step)
    deferred.defer(PROMPT, OWN)
    deferred.defer(ids([[6]], [[6]]), OWN)
    assert [call.new for call in step.calls] == [2]
    deferred(ids([[7], [5]], [[7], [5]]), ids([0, 0], [1, 1]), 4)
    assert [call.new for call in step.calls] == [2, 1, 1]
    assert step.histories == [[(0, 4, 6, 7), (0, 4, 6, 5)]] * 2


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_search_saves_the_forced_tokens_steps(plan_of: Any, step: Any, num_beams: int) -> None:
    plan = plan_of(
        num_beams=num_beams, max_new_tokens=5, min_new_tokens=5, forced_bos_token_id=6, forced_eos_token_id=1
    )
    found = search(step, plan, 2, max_candidates=100)
    for one in found.hypotheses:
        tokens = one[0].tokens
        assert (len(tokens), tokens[:2], tokens[-1]) == (6, (0, 6), 1)
    assert found.steps == 5
    assert [call.new for call in step.calls] == [2, 1, 1]


def test_nothing_is_computed_where_every_token_is_forced(digits_bundle: Path) -> None:
    silence = np.zeros(16000, dtype=np.float32)
    with s2t_runtime.load(digits_bundle) as model:
        result = model.generate(silence, sampling_rate=16000, forced_eos_token_id=2, max_new_tokens=1)
        usual = model.generate(silence, sampling_rate=16000)
    assert result.tokens == (2, 2)
    assert result.timings_s["first_step"] == 0
    assert usual.timings_s["first_step"] > 0
