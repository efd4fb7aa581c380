"""Greedy decoding on scripted step functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from s2t_runtime.search.search import search

EOS = 1


def path_script(*paths: tuple[int, ...], vocab: int = 8) -> Callable[..., list[float]]:
    """Utterance b prefers the tokens of paths[b] in turn, with probability one half."""

    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        path = paths[utterance]
        place = len(history) - 1
        wanted = path[place] if place < len(path) else vocab - 1
        return [math.log(0.5 if token == wanted else 0.5 / (vocab - 1)) for token in range(vocab)]

    return script


def test_a_row_ends_with_its_first_end_token(scripted: Any, plan_of: Any) -> None:
    step = scripted(path_script((5, EOS, 4), (4, 3, 6, EOS)))
    result = search(step, plan_of(max_new_tokens=9, pad_token_id=7), 2, max_candidates=8)
    assert [ranked[0].tokens for ranked in result.hypotheses] == [(0, 5, EOS), (0, 4, 3, 6, EOS)]
    assert result.steps == 4
    assert not result.stopped
    assert step.histories[0] == [(0, 5, EOS, 7)]  # padding is fed to the row that ended


def test_rows_end_at_the_maximum_length(scripted: Any, plan_of: Any) -> None:
    result = search(scripted(path_script((5, 4, 3))), plan_of(max_length=3), 1, max_candidates=8)
    assert result.hypotheses[0][0].tokens == (0, 5, 4)


def test_any_of_several_end_tokens_ends(scripted: Any, plan_of: Any) -> None:
    step = scripted(path_script((5, 6)))
    result = search(step, plan_of(max_new_tokens=9, eos_token_id=(EOS, 6)), 1, max_candidates=8)
    assert result.hypotheses[0][0].tokens == (0, 5, 6)


def test_no_end_token_needs_no_padding(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(max_new_tokens=4, eos_token_id=())
    assert plan.pad_token_id is None
    result = search(scripted(path_script((5, EOS, 4, 3))), plan, 1, max_candidates=8)
    assert result.hypotheses[0][0].tokens == (0, 5, EOS, 4, 3)


def test_the_score_is_the_sum_over_the_length(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(max_new_tokens=9, length_penalty=2.0)
    hypothesis = search(scripted(path_script((5, 4, EOS))), plan, 1, max_candidates=8).hypotheses[0][0]
    assert hypothesis.log_probs == pytest.approx([math.log(0.5)] * 3)
    assert hypothesis.score == pytest.approx(3 * math.log(0.5) / 9)


def test_equal_scores_take_the_lower_token(scripted: Any, plan_of: Any) -> None:
    step = scripted(lambda _b, _history: [0.0, -9.0, *[0.0] * 6])
    assert search(step, plan_of(max_new_tokens=2), 1, max_candidates=8).hypotheses[0][0].tokens == (0, 0, 0)
    suppressed = plan_of(max_new_tokens=2, suppress_tokens=(0, 2))
    found = search(scripted(step.script), suppressed, 1, max_candidates=8).hypotheses[0][0].tokens
    assert found == (0, 3, 3)


def test_a_forced_token_costs_nothing_and_needs_no_candidates(scripted: Any, plan_of: Any) -> None:
    step = scripted(path_script((5, 4, 3)))
    plan = plan_of(max_new_tokens=3, forced_bos_token_id=6, forced_eos_token_id=EOS)
    hypothesis = search(step, plan, 1, max_candidates=8).hypotheses[0][0]
    assert hypothesis.tokens == (0, 6, 4, EOS)
    assert hypothesis.log_probs == pytest.approx([0.0, math.log(0.5), 0.0])
    assert not any(call.with_logits for call in step.calls)


def test_where_every_token_is_lowered_the_lowest_is_taken_as_in_argmax(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(max_new_tokens=2, suppress_tokens=tuple(range(8)))
    assert search(scripted(path_script((5, 4))), plan, 1, max_candidates=8).hypotheses[0][0].tokens == (
        0,
        0,
        0,
    )


def test_candidates_are_one_and_what_the_rules_may_lower(scripted: Any, plan_of: Any) -> None:
    step = scripted(path_script((5, 4, 3)))
    search(step, plan_of(max_new_tokens=3, min_new_tokens=2, suppress_tokens=(4, 6)), 1, max_candidates=8)
    assert [call.candidates for call in step.calls] == [4, 4, 3]


def test_a_repetition_penalty_acts_on_raw_logits(scripted: Any, plan_of: Any) -> None:
    # Token 5 leads by logits of 4 against 3; twice penalised it is 2. Log-probabilities are not reversed so.
    step = scripted(lambda _b, _history: [-9.0, -9.0, 3.0, -9.0, -9.0, 4.0, -9.0, -9.0])
    plan = plan_of(max_new_tokens=3, repetition_penalty=2.0)
    hypothesis = search(step, plan, 1, max_candidates=8).hypotheses[0][0]
    assert hypothesis.tokens == (0, 5, 2, 5)
    assert all(call.with_logits for call in step.calls)
    # Reported are the log-probabilities of the raw logits.
    rest = math.log(math.exp(4) + math.exp(3) + 6 * math.exp(-9))
    assert hypothesis.log_probs == pytest.approx(
        [4 - rest, 3 - rest, 4 - rest], abs=1e-5
    )  # of the raw logits


def test_stop_ends_every_row_where_it_is(scripted: Any, plan_of: Any) -> None:
    step = scripted(path_script((5, 4, 3, 2), (5, EOS)))
    result = search(step, plan_of(max_new_tokens=9), 2, max_candidates=8, stop=lambda: len(step.calls) == 3)
    assert [ranked[0].tokens for ranked in result.hypotheses] == [(0, 5, 4, 3), (0, 5, EOS)]
    assert (result.steps, result.stopped) == (3, True)


def test_rows_of_a_batch_do_not_see_each_other(scripted: Any, plan_of: Any) -> None:
    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        return np.random.default_rng((utterance, *history)).normal(size=8).tolist()

    plan = plan_of(max_new_tokens=12, no_repeat_ngram_size=2)
    together = search(scripted(script), plan, 4, max_candidates=8).hypotheses
    for utterance in range(4):
        alone = scripted(lambda _, history, u=utterance: script(u, history))
        assert search(alone, plan, 1, max_candidates=8).hypotheses[0] == together[utterance]
