"""What the plots place where: a line of steps lies at the tokens that the steps gave."""

from __future__ import annotations

from typing import Any

import pytest
from support.records.latency_records import EAGER, PLAIN, TASKS, latency_record

from benchmarks.report import plots
from benchmarks.report.drawing.lines import Axes, Line
from benchmarks.report.plots import step_plot
from benchmarks.report.view import View


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Line], Axes]]:
    """What was asked of the drawing."""
    asked: list[tuple[list[Line], Axes]] = []

    def line_chart(
        _key: str, _title: str, _said: str, lines: list[Line], axes: Axes, _levels: object
    ) -> None:
        asked.append((lines, axes))

    monkeypatch.setattr(plots, "line_chart", line_chart)
    return asked


def shown(record: dict[str, Any]) -> None:
    view = View(record)
    step_plot(view, view.workloads[0], "key")


def test_a_line_lies_at_the_tokens_that_its_steps_gave(drawn: list[tuple[list[Line], Axes]]) -> None:
    shown(latency_record(cases=(EAGER, PLAIN), tasks=TASKS[:1], repetitions=2))
    ((lines, axes),) = drawn
    # Eager's first step gives a token of its own; the bundle's is fed the forced one, and gives the second.
    assert [[point.x for point in line.points] for line in lines] == [
        list(range(2, 13)),
        list(range(3, 13)),
    ]
    assert (axes.x.low, axes.x.high) == (2, 12)


def test_a_forced_last_token_has_no_step(drawn: list[tuple[list[Line], Axes]]) -> None:
    record = latency_record(cases=(PLAIN,), tasks=TASKS[:1], repetitions=2)
    record["rows"][0]["samples_s"]["step"] = [run[:-1] for run in record["rows"][0]["samples_s"]["step"]]
    shown(record)
    (((line,), axes),) = drawn
    assert [point.x for point in line.points] == list(range(3, 12))
    assert (axes.x.low, axes.x.high) == (3, 12)
