"""The report's plots: what each shows of the record, in a picture and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.report.drawing.axes import Axis, fitting_axis, linear_axis, log_axis
from benchmarks.report.drawing.bars import Bar, Stack, bar_chart, stack_chart
from benchmarks.report.drawing.distributions import Distribution, distribution_chart
from benchmarks.report.drawing.frame import Label
from benchmarks.report.drawing.lines import Axes, Level, Line, Point, line_chart
from benchmarks.report.drawing.markup import Element
from benchmarks.report.figures import digits, readable_time, time_unit
from benchmarks.report.view import Row, View

PARTS: Final = ("audio", "encoder", "first_step", "step", "search", "detokenise")
"""Stages that add up to the total, in their order."""
PART_NAMES: Final = ("audio", "encoder", "first step", "later steps", "search", "detokenise")


def speed_plot(view: View, workload: Mapping[str, Any], key: str) -> Element | None:
    """How many times as fast as the base; None where there is nothing to compare."""
    rows = [row for row in view.rows(workload) if row.speed_up is not None]
    if len(rows) < 2:
        return None
    bars = [Bar(_label(row), row.speed_up or 0.0, f"{digits(row.speed_up)} ×") for row in rows]
    said = "; ".join(f"{bar.label.text} {bar.text} ({bar.label.quality})" for bar in bars)
    title = f"Speed relative to {view.base}, {workload['name']}"
    return bar_chart(
        key, title, f"Bars, longer is faster: {said}.", bars, axis_title=f"times as fast as {view.base}"
    )


def distribution_plot(view: View, workload: Mapping[str, Any], key: str) -> Element:
    """How far decodings lie from their median; of recordings, each from its own."""
    rows, said = [], []
    for row in view.rows(workload):
        summary = row.data["summary"]["total"]
        times = np.asarray(row.data["samples_s"]["total"])  # [repetitions, recordings]
        deviations = 100 * (times / np.median(times, axis=0) - 1)
        median, tail = readable_time(summary["median"]), readable_time(summary["p95"])
        rows.append(Distribution(_label(row), tuple(deviations.ravel().tolist()), median, f"p95 {tail}"))
        said.append(
            f"{row.case} from {readable_time(summary['min'])} to {readable_time(times.max())}, median {median}, "
            f"p95 {tail}, distances from {digits(deviations.min())} to {digits(deviations.max())} %"
        )
    title = f"Latency of an utterance, {workload['name']}"
    return distribution_chart(key, title, f"Dots, one a decoding: {'; '.join(said)}.", rows)


def breakdown_plot(view: View, workload: Mapping[str, Any], key: str) -> Element:
    """Shares of the mean time; means add up, medians do not."""
    stacks = []
    for row in view.rows(workload):
        spent = [sum(map(sum, row.data["samples_s"][part])) for part in PARTS]
        whole = sum(map(sum, row.data["samples_s"]["total"]))
        mean = readable_time(row.data["summary"]["total"]["mean"])
        stacks.append(Stack(_label(row), tuple(value / whole for value in spent), mean))
    said = "; ".join(
        f"{stack.label.text} {stack.text}: "
        + ", ".join(f"{name} {share:.0%}" for name, share in zip(PART_NAMES, stack.shares, strict=True))
        for stack in stacks
    )
    title = f"Where the time goes, {workload['name']}"
    return stack_chart(key, title, f"Shares of the mean time of an utterance: {said}.", stacks, PART_NAMES)


def step_plot(view: View, workload: Mapping[str, Any], key: str) -> Element | None:
    """Step time against tokens generated; None where there are no steps, or as many as each recording takes."""
    rows = [row for row in view.rows(workload) if row.figure("step") is not None]
    if not rows or not workload["exact"] or workload["tokens"] < 3:
        return None
    levels_s = {f"floor {view.precision(row.case)}": row.floor_s for row in rows if row.floor_s is not None}
    times = {row.case: np.asarray(row.data["samples_s"]["step"]) for row in rows}
    unit = time_unit([float(np.median(found)) for found in times.values()])
    lines = [_step_line(row, times[row.case] * unit.per_second) for row in rows]
    shown = [value for line in lines for point in line.points for value in (point.low, point.high)]
    shown += [value * unit.per_second for value in levels_s.values()]
    y = fitting_axis(shown)
    first = min(int(line.points[0].x) for line in lines)
    axes = Axes(
        _whole_axis(first, workload["tokens"]),
        "token of the utterance",
        y,
        f"time of a step, {unit.name}{_scale(y)}",
    )
    levels = [Level(name, value * unit.per_second) for name, value in levels_s.items()]
    said = "; ".join(
        f"{line.name} from {digits(line.points[0].y)} to {digits(line.points[-1].y)} {unit.name}"
        for line in lines
    )
    title = f"Time of a step against tokens generated, {workload['name']}"
    return line_chart(key, title, f"Lines, lower is faster; first to last step: {said}.", lines, axes, levels)


def factor_plots(view: View) -> list[tuple[str, Any]]:
    """Groups of workloads that differ in length alone, named, where there are several lengths.

    Returns:
        (name, workloads) for ``factor_plot``.
    """
    groups: dict[tuple[bool, int, int], list[Mapping[str, Any]]] = {}
    for one in view.workloads:
        groups.setdefault((one["exact"], one["batch"], one["beams"]), []).append(one)
    found = []
    for (exact, batch, beams), members in groups.items():
        lengths = {length for one in members for length in _lengths(view, one)}
        if len(lengths) > 1:
            kind = f"batch {batch}" if exact else "recordings"
            found.append((f"{kind}, {beams} beam{'s' if beams > 1 else ''}", members))
    return found


def factor_plot(view: View, name: str, members: Sequence[Mapping[str, Any]], key: str) -> Element:
    """Real-time factor against the length of an utterance, both logarithmic."""
    points: dict[str, list[Point]] = {}
    colours: dict[str, int] = {}
    for workload in members:
        for row in view.rows(workload):
            colours[row.case] = row.colour
            points.setdefault(row.case, []).extend(_factors(view, row))
    lines = [
        Line(case, colours[case], tuple(sorted(found, key=lambda point: point.x)), marked=True)
        for case, found in points.items()
    ]
    every = [point for line in lines for point in line.points]
    x, y = (
        log_axis([point.x for point in every]),
        log_axis([value for point in every for value in (point.low, point.high)]),
    )
    axes = Axes(x, "length of an utterance, s, logarithmic", y, "real-time factor, s/s, logarithmic")
    levels = [Level("real time", 1.0)] if y.low <= 1 <= y.high else []
    said = "; ".join(
        f"{line.name} " + ", ".join(f"{digits(point.y)} at {digits(point.x)} s" for point in line.points)
        for line in lines
    )
    title = f"Real-time factor against length, {name}"
    return line_chart(key, title, f"Lines, lower is faster: {said}.", lines, axes, levels)


def _label(row: Row) -> Label:
    return Label(row.case, row.quality, row.colour)


def _step_line(row: Row, times: Any) -> Line:
    """From the token that the second step gives: a first one that is fed a forced token gives the token behind it."""
    second = row.data["first_step_tokens"] + 1
    points = [
        Point(number, float(median), float(low), float(high))
        for number, (low, median, high) in enumerate(
            np.percentile(times, (25, 50, 75), axis=0).T, start=second
        )
    ]
    return Line(row.case, row.colour, tuple(points), marked=len(points) < 3)


def _whole_axis(first: int, last: int) -> Axis:
    """From the first token that a later step gives to the last one, with ticks at round ones."""
    ticks = tuple(
        tick for tick in linear_axis([first, last]).ticks if first <= tick <= last and tick == int(tick)
    )
    return Axis(first, last, ticks)


def _lengths(view: View, workload: Mapping[str, Any]) -> list[float]:
    tasks = {task["name"]: task for task in view.record["tasks"]}
    return [tasks[name]["audio_s"] / len(tasks[name]["audio"]) for name in workload["tasks"]]


def _factors(view: View, row: Row) -> list[Point]:
    """One point for each task of the workload."""
    tasks = {task["name"]: task for task in view.record["tasks"]}
    times = np.asarray(row.data["samples_s"]["total"])
    found = []
    for number, (name, length) in enumerate(
        zip(row.workload["tasks"], _lengths(view, row.workload), strict=True)
    ):
        values = times[:, number] / tasks[name]["audio_s"]
        found.append(Point(length, float(np.median(values)), float(values.min()), float(values.max())))
    return found


def _scale(axis: Axis) -> str:
    return ", logarithmic" if axis.logarithmic else ""
