"""One output's differences over all cases: what passes, and that nothing hides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.parity.differences import Differences, GraphRow

NAN, INF = float("nan"), float("inf")


def row_of(*pairs: tuple[Any, Any], tolerance: float = 1e-3) -> GraphRow:
    differences = Differences("logits", tolerance)
    for got, wanted in pairs:
        differences.add(np.asarray(got, np.float32), np.asarray(wanted, np.float32))
    return differences.summary()


def test_the_limit_is_a_share_of_the_largest_value() -> None:
    row = row_of(([10.0, 1.0], [10.005, 1.0]), ([3.0], [3.0]))
    assert row.passed
    assert row.scale == pytest.approx(10.005)
    assert row.limit == pytest.approx(0.010005)
    assert row.maximum == pytest.approx(0.005, rel=1e-3)
    assert row.mean == pytest.approx(0.005 / 3, rel=1e-3)
    assert row.percentile_99 < row.maximum
    assert not row_of(([10.0, 1.0], [10.02, 1.0])).passed


def test_one_wrong_value_among_many_is_seen() -> None:
    wanted = np.ones(10_000)
    got = wanted.copy()
    got[1234] = 1.01
    row = row_of((got, wanted))
    assert not row.passed
    assert row.percentile_99 == 0


@pytest.mark.parametrize(
    ("got", "wanted"),
    [([NAN, 1], [1, 1]), ([1, 1], [NAN, 1]), ([NAN, 1], [NAN, 1]), ([INF, 1], [1, 1]), ([1, 2], [-INF, 1])],
)
def test_nan_and_infinity_do_not_pass(got: list[float], wanted: list[float]) -> None:
    row = row_of((got, wanted))
    assert not row.passed
    assert row.maximum == INF


def test_an_infinite_reference_excuses_nothing_else() -> None:
    assert row_of(([-INF, 1], [-INF, 1])).passed
    assert not row_of(([-INF, 2], [-INF, 1])).passed


def test_a_shape_that_differs_fails_and_is_named() -> None:
    row = row_of((np.zeros((2, 3)), np.zeros((2, 3))), (np.zeros((2, 4)), np.zeros((2, 3))))
    assert not row.passed
    assert row.note == "[2, 4] for [2, 3]"


def test_nothing_compared_is_not_passed() -> None:
    assert not row_of().passed
    assert not row_of((np.zeros((2, 0)), np.zeros((2, 0)))).passed


def test_zeros_are_held_to_an_absolute_limit() -> None:
    assert row_of(([1e-7], [0])).passed
    assert not row_of(([1e-5], [0])).passed


def test_masks_are_compared_as_numbers() -> None:
    masks = np.array([True, False]), np.array([True, True])
    differences = Differences("encoder_mask", 5e-4)
    differences.add(*masks)
    assert not differences.summary().passed


def with_own(got: Any, wanted: Any, own: Any) -> GraphRow:
    differences = Differences("encoder_states", 1e-3)
    differences.add(np.asarray(got, np.float32), np.asarray(wanted, np.float32), np.asarray(own, np.float32))
    return differences.summary()


# Two frames of two channels; the second is one whose rounding the model raises.
WANTED = [[1.0, -1.0], [1.0, 0.5]]
OWN = [[1e-7], [1e-3]]


def test_what_the_model_makes_of_its_own_last_digit_is_allowed_in_that_frame() -> None:
    row = with_own([[1.0, -1.0], [1.01, 0.5]], WANTED, OWN)
    assert row.passed
    assert row.maximum == pytest.approx(0.01, rel=1e-3)
    assert row.note == (
        "in single frames up to 1.6e-02 more is allowed: 16 times what eager itself makes of the last digit of its "
        "features"
    )
    assert not row_of(([[1.0, -1.0], [1.01, 0.5]], WANTED)).passed


@pytest.mark.parametrize(
    "got",
    [
        [[1.01, -1.0], [1.0, 0.5]],  # another frame
        [[1.0, -1.0], [1.02, 0.5]],  # more than that
        [[1.0, -1.0], [NAN, 0.5]],
    ],
)
def test_it_excuses_nothing_else(got: Any) -> None:
    assert not with_own(got, WANTED, OWN).passed


@pytest.mark.parametrize("own", [[[NAN], [NAN]], [[INF], [INF]]])
def test_a_spread_without_bounds_excuses_nothing(own: Any) -> None:
    assert not with_own([[1.0, -1.0], [1.01, 0.5]], WANTED, own).passed


def test_a_spread_that_was_not_needed_is_not_mentioned() -> None:
    assert with_own(WANTED, WANTED, OWN).note == ""
