"""The drawing's parts: escaping, ticks at round numbers, numbers as people read them, labels that do not collide."""

from __future__ import annotations

import html
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.report.drawing.axes import Axis, fitting_axis, linear_axis, log_axis, tick_text
from benchmarks.report.drawing.frame import shortened
from benchmarks.report.drawing.lines import moved_apart
from benchmarks.report.drawing.markup import tag
from benchmarks.report.figures import (
    digits,
    mebibytes,
    milliseconds,
    percent,
    readable_time,
    small,
    time_unit,
)

HOSTILE = "<script>alert('1')</script> & \"quotes\""


def test_text_stays_text() -> None:
    assert str(tag("p", HOSTILE)) == f"<p>{html.escape(HOSTILE, quote=False)}</p>"
    assert str(tag("p", title=HOSTILE)) == f'<p title="{html.escape(HOSTILE)}"></p>'


def test_elements_nest_and_nothing_is_left_out() -> None:
    made = tag(
        "ul",
        (tag("li", name) for name in "ab"),
        None,
        tag("br"),
        "c",
        class_="x",
        aria_label=None,
        stroke_width=1.50,
    )
    assert str(made) == '<ul class="x" stroke-width="1.5"><li>a</li><li>b</li><br>c</ul>'
    assert str(tag("svg", viewBox="0 0 1 1", x=3)) == '<svg viewBox="0 0 1 1" x="3"></svg>'


def is_round(value: float, mantissas: tuple[float, ...]) -> bool:
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return any(math.isclose(value / power, mantissa, rel_tol=1e-6) for mantissa in mantissas)


@settings(deadline=None)
@given(st.floats(1e-6, 1e7), st.floats(1e-3, 1e6), st.booleans())
def test_linear_ticks_are_round_and_hold_the_values(low: float, span: float, from_zero: bool) -> None:
    values = [low, low + span * low]
    axis = linear_axis(values, from_zero=from_zero)
    steps = [after - before for before, after in pairwise(axis.ticks)]
    assert 2 <= len(axis.ticks) <= 8
    assert is_round(steps[0], (1, 2, 2.5, 5, 10))
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)
    assert all(math.isclose(tick / steps[0], round(tick / steps[0]), abs_tol=1e-6) for tick in axis.ticks)
    slack = 1e-6 * steps[0]
    assert axis.ticks[0] == axis.low <= min(values) + slack
    assert axis.ticks[-1] == axis.high >= max(values) - slack
    assert axis.low == 0 or not from_zero


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1, 1e6))
def test_logarithmic_ticks_are_round_and_hold_the_values(low: float, ratio: float) -> None:
    axis = log_axis([low, low * ratio])
    assert axis.low <= low * (1 + 1e-6)
    assert axis.high >= low * ratio * (1 - 1e-6)
    assert (axis.ticks[0], axis.ticks[-1]) == (axis.low, axis.high)
    assert 2 <= len(axis.ticks) <= 11
    assert all(is_round(tick, (1, 2, 5, 10)) for tick in axis.ticks)
    assert list(axis.ticks) == sorted(set(axis.ticks))


def test_places_on_axes() -> None:
    assert Axis(0, 10, ()).place(2.5) == 0.25
    assert Axis(1, 100, (), logarithmic=True).place(10) == pytest.approx(0.5)
    assert Axis(1, 100, (), logarithmic=True).place(0) == 0  # beyond an end it is at the end
    assert Axis(0, 10, ()).place(99) == 1


def test_the_axis_fits_the_values() -> None:
    assert fitting_axis([1, 9]).logarithmic
    assert not fitting_axis([2, 9]).logarithmic
    assert not fitting_axis([0, 9]).logarithmic
    assert linear_axis([3.0, 3.0], from_zero=False).place(3.0) == 0


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(0.05, "0.05"), (2.5, "2.5"), (100.0, "100"), (2000.0, "2,000"), (1e6, "1,000,000"), (-20.0, "-20")],
)
def test_ticks_are_written_short(value: float, wanted: str) -> None:
    assert tick_text(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(0.012345, "0.0123"), (1.2345, "1.23"), (123.456, "123"), (12345.6, "12,346"), (0.0, "0"), (None, "–")],
)
def test_three_digits(value: float | None, wanted: str) -> None:
    assert digits(value) == wanted


def test_figures_have_the_unit_that_fits() -> None:
    assert [readable_time(value) for value in (12.34, 1.234, 0.01234, 0.00001234)] == [
        "12.3 s", "1.23 s", "12.3 ms", "12.3 µs"
    ]  # fmt: skip
    assert [time_unit([1e-9, largest]).name for largest in (12, 9.0, 1e-3, 1e-4)] == ["s", "ms", "ms", "µs"]
    assert (milliseconds(0.5), milliseconds(None)) == ("500", "–")
    assert (mebibytes(1500 * 2**20), mebibytes(None)) == ("1,500", "–")
    assert (percent(0.0123), percent(None)) == ("1.2%", "–")
    assert [small(value) for value in (0.0, 1.26e-6, 0.0126, None)] == ["0", "1.3e-06", "0.013", "not finite"]


def test_long_names_are_shortened() -> None:
    assert shortened("a" * 24) == "a" * 24
    assert shortened("a" * 25) == "a" * 23 + "…"


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), max_size=6))
def test_labels_lie_apart_within_the_plot(places: list[float]) -> None:
    found = moved_apart(places, 15, 0, 100)
    order = sorted(range(len(places)), key=lambda index: places[index])
    for before, after in pairwise(order):
        assert found[after] - found[before] >= 15 - 1e-9
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in found)


def test_labels_that_are_apart_stay() -> None:
    assert moved_apart([80, 10, 40], 15, 0, 100) == [80, 10, 40]
    assert moved_apart([], 15, 0, 100) == []
