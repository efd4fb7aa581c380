"""Two records: less quality, or a case that is gone, is a loss whatever the speed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support.records.latency_records import EAGER, PLAIN, SMALL, TASKS, altered, latency_record

from benchmarks.comparison.compare import Comparison, compare
from benchmarks.comparison.quality import Finding
from benchmarks.comparison.report import comparison_text, losses, passes

SHORT = TASKS[:2]


@pytest.fixture(scope="module")
def old() -> dict[str, Any]:
    return latency_record(seed=1, tasks=SHORT)


def told(old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    """Compared; every sentence is in the text, a loss and only a loss as a regression where one is judged."""
    found = compare(old, new)
    plain, judged = comparison_text(found, None), comparison_text(found, 5)
    for one in (*found.quality, *found.missing):
        assert f"- {one.sentence}\n" in plain
        assert f"- {'REGRESSION: ' if one.loss else ''}{one.sentence}\n" in judged
    assert passes(found, 1000) == (not losses(found))
    return found


def test_fewer_tokens_that_agree_are_a_loss(old: dict[str, Any]) -> None:
    new, row = altered(old, PLAIN.name)
    row["parity"][EAGER.name]["agreeing"] = 7
    row["tokens"] = [[1]]
    wanted = Finding(f"{PLAIN.name} ({SHORT[0].name}): tokens as eager fp32 12/12 -> 7/12", loss=True)
    other = Finding(f"{PLAIN.name} ({SHORT[0].name}): other tokens than before", loss=False)
    found = told(old, new)
    assert found.quality == (wanted, other)
    assert "None are slower by more than 5 %. 1 of quality or of cases is lost.\n" in comparison_text(
        found, 5
    )
    # The other way round it is a gain.
    assert [one.loss for one in told(new, old).quality] == [False, False]


def test_a_row_that_is_compared_no_longer(old: dict[str, Any]) -> None:
    new, row = altered(old, PLAIN.name)
    row["parity"] = {}
    wanted = f"{PLAIN.name} ({SHORT[0].name}): tokens as eager fp32 12/12 -> not compared"
    assert told(old, new).quality == (Finding(wanted, loss=True),)
    # Where nobody measured the reference, the rows are not to blame.
    alone = latency_record(seed=1, tasks=SHORT, cases=(PLAIN, SMALL))
    assert losses(told(old, alone)) == []
    assert Finding(wanted, loss=False) in told(old, alone).quality


@pytest.mark.parametrize(
    ("before", "after", "said", "loss"),
    [
        (1e-6, 1e-3, None, False),
        (0.001, 0.25, "0.001 -> 0.25", True),
        (0.25, 0.001, "0.25 -> 0.001", False),
        (0.25, None, "0.25 -> not a finite number", True),
        (None, 0.25, None, False),
    ],
)
def test_scores_that_move_away_are_a_loss(
    old: dict[str, Any], before: float | None, after: float | None, said: str | None, *, loss: bool
) -> None:
    (first, one), (second, two) = altered(old, PLAIN.name), altered(old, PLAIN.name)
    one["parity"][EAGER.name]["score_difference"] = before
    two["parity"][EAGER.name]["score_difference"] = after
    name = f"{PLAIN.name} ({SHORT[0].name}): difference of scores from eager fp32"
    wanted = () if said is None else (Finding(f"{name} {said}", loss=loss),)
    assert told(first, second).quality == wanted


def test_tokens_that_begin_to_change_are_a_loss(old: dict[str, Any]) -> None:
    new, row = altered(old, PLAIN.name)
    row["steady"] = False
    sentence = f"{PLAIN.name} ({SHORT[0].name}): no longer the same tokens in every repetition"
    assert told(old, new).quality == (Finding(sentence, loss=True),)
    assert told(new, old).quality == ()


def test_more_errors_in_words_are_a_loss(old: dict[str, Any]) -> None:
    (first, one), (second, two) = altered(old, PLAIN.name), altered(old, PLAIN.name)
    one["word_errors"] = {"word_error_rate": 0.1, "character_error_rate": 0.05}
    two["word_errors"] = {"word_error_rate": 0.25, "character_error_rate": 0.05}
    name = f"{PLAIN.name} ({SHORT[0].name})"
    sentence = f"{name}: word error rate 10.00% -> 25.00%"
    assert told(first, second).quality == (Finding(sentence, loss=True),)
    assert losses(told(second, first)) == []
    two["word_errors"] = {"word_error_rate": 0.1, "character_error_rate": 0.5}
    sentence = f"{name}: character error rate 5.00% -> 50.00%"
    assert told(first, second).quality == (Finding(sentence, loss=True),)


def test_errors_that_are_counted_no_longer(old: dict[str, Any]) -> None:
    (first, one), (second, two) = altered(old, PLAIN.name), altered(old, PLAIN.name)
    one["word_errors"] = {"word_error_rate": 0.1, "character_error_rate": 0.05}
    sentence = f"{PLAIN.name} ({SHORT[0].name}): word error rate 10.00% -> none"
    # Without references nobody could count them; where other rows have them, this one lost its text.
    assert told(first, second).quality == (Finding(sentence, loss=False),)
    other = next(row for row in second["rows"] if row is not two)
    other["word_errors"] = one["word_errors"]
    assert told(first, second).quality == (Finding(sentence, loss=True),)


def without(record: dict[str, Any], case: str) -> dict[str, Any]:
    """As it is written where a case fails."""
    new = copy.deepcopy(record)
    new["rows"] = [row for row in new["rows"] if row["case"] != case]
    del new["footprints"][case]
    return new


def test_a_case_that_failed_is_a_loss(old: dict[str, Any]) -> None:
    new = without(old, SMALL.name)
    new["left_out"] = {SMALL.name: "the process ended with exit code -9"}
    sentences = [
        f"{SMALL.name} ({task.name}) is in the old record alone, though the new run was asked for it: the process "
        "ended with exit code -9"
        for task in SHORT
    ]
    assert told(old, new).missing == tuple(Finding(sentence, loss=True) for sentence in sentences)
    assert "2 of quality or of cases are lost." in comparison_text(told(old, new), 5)


def test_a_case_that_vanished_without_a_word_is_a_loss(old: dict[str, Any]) -> None:
    (first, _) = told(old, without(old, SMALL.name)).missing
    assert first.sentence.endswith("though the new run was asked for it: the new one gives no reason")
    assert first.loss


def test_a_case_that_could_not_even_be_chosen_is_a_loss(old: dict[str, Any]) -> None:
    new = without(old, SMALL.name)
    new["cases"] = [case for case in new["cases"] if case["name"] != SMALL.name]
    new["left_out"] = {SMALL.name: "no engines could be built"}
    assert [one.loss for one in told(old, new).missing] == [True, True]


def test_what_was_not_asked_for_is_told_and_is_no_loss(old: dict[str, Any]) -> None:
    fewer = told(old, latency_record(seed=2, tasks=SHORT, cases=(EAGER, PLAIN)))
    assert fewer.missing == tuple(
        Finding(
            f"{SMALL.name} ({task.name}) is in the old record alone: the new run was not asked for it",
            loss=False,
        )
        for task in SHORT
    )
    other = told(old, latency_record(seed=2, tasks=TASKS[1:3]))
    assert {change.task for change in other.changes} == {SHORT[1].name}
    gone = f"{EAGER.name} ({TASKS[0].name}) is in the old record alone: the new run was not asked for it"
    extra = f"{EAGER.name} ({TASKS[2].name}) is in the new record alone"
    assert {Finding(gone, loss=False), Finding(extra, loss=False)} <= set(other.missing)
    assert losses(other) == []
