"""What of single steps is held to a budget."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.reference.step_errors import (
    MEASURES,
    counted_steps,
    end_tokens,
    log_softmax,
    step_count,
    step_errors,
)
from s2t_runtime.options.generation import GenerationOptions

WANTED = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=np.float32))


def test_the_chosen_token_alone_counts_unless_more_are_asked_for() -> None:
    got = WANTED.copy()
    got[0, 2] -= 0.5
    assert step_errors(got, WANTED).log_prob_difference == 0
    assert step_errors(got, WANTED, tokens=3).log_prob_difference == pytest.approx(0.5)
    got[1, 2] += 0.25
    assert step_errors(got, WANTED).log_prob_difference == pytest.approx(0.25)
    assert step_errors(got, WANTED).token_agreement == 1


def test_another_best_token_lowers_the_agreement() -> None:
    got = WANTED.copy()
    got[1, 1] = 0
    assert step_errors(got, WANTED).token_agreement == 0.5


def test_what_is_no_number_is_infinitely_far() -> None:
    got = WANTED.copy()
    got[0, 0] = np.nan
    assert step_errors(got, WANTED).log_prob_difference == np.inf


def test_steps_count_up_to_the_end_token() -> None:
    chosen = np.array([[5, 2], [6, 9], [2, 9], [2, 2], [7, 9]])
    counted = counted_steps(chosen, (2, 3))
    assert counted.T.astype(int).tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert counted_steps(chosen, ()).all()


@pytest.mark.parametrize(("given", "wanted"), [(None, ()), (2, (2,)), ((2, 5), (2, 5))])
def test_end_tokens_are_those_of_the_options(
    given: int | tuple[int, ...] | None, wanted: tuple[int, ...]
) -> None:
    assert end_tokens(GenerationOptions(eos_token_id=given)) == wanted


def test_log_softmax_takes_large_logits() -> None:
    np.testing.assert_allclose(
        log_softmax(np.array([[1e4, 1e4]], dtype=np.float32)), np.log([[0.5, 0.5]]), rtol=1e-6
    )


def test_int8_is_judged_by_what_a_result_reports() -> None:
    assert MEASURES["int8"].tokens == 1
    assert MEASURES["int8"].to_the_end
    assert MEASURES["float16"].tokens == 8


@pytest.mark.parametrize(
    ("prompt", "positions", "steps"), [(1, None, 20), (2, 400, 20), (2, 21, 20), (2, 20, 19), (2, 2, 1)]
)
def test_steps_go_as_far_as_the_positions(prompt: int, positions: int | None, steps: int) -> None:
    """The token that the last step chooses is not fed."""
    assert step_count(20, prompt, positions) == steps
