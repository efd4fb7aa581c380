"""Answers against a reference's: identical ones, and how far different ones go together."""

from __future__ import annotations

import pytest

from benchmarks.measuring.agreement import Agreement, agreement
from benchmarks.peers.protocol import Answer

REFERENCE = Answer(((2, 5, 6, 7, 8), (2, 9, 9, 9, 9)), (-0.5, -0.25))


def test_the_same_answer() -> None:
    assert agreement(REFERENCE, REFERENCE, 4) == Agreement(2, 2, 8, 8, 0.0)


def test_tokens_agree_up_to_the_first_that_differs() -> None:
    answer = Answer(((2, 5, 6, 1, 8), (2, 9, 9, 9, 9)), (-0.5, -0.5))
    assert agreement(answer, REFERENCE, 4) == Agreement(2, 1, 8, 6, 0.25)


def test_prompts_are_no_agreement() -> None:
    answer = Answer(((2, 0, 0, 0, 0), (3, 9, 9, 9, 9)), (-0.5, -0.25))
    assert agreement(answer, REFERENCE, 4) == Agreement(2, 0, 8, 0, 0.0)


def test_a_shorter_answer() -> None:
    answer = Answer(((2, 5, 6), (2, 9, 9, 9, 9)), (-0.5, -0.25))
    assert agreement(answer, REFERENCE, 4).agreeing == 6


def test_a_score_that_is_no_number_shows() -> None:
    answer = Answer(REFERENCE.tokens, (float("nan"), -0.25))
    assert agreement(answer, REFERENCE, 4).score_difference != pytest.approx(0.0)


def test_answers_to_other_batches_are_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        agreement(Answer(((2, 5),), (-0.5,)), REFERENCE, 1)
