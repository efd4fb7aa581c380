"""Lines with their names at their ends: step times along an utterance, real-time factors along its length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report.drawing.axes import Axis
from benchmarks.report.drawing.frame import WIDTH, Frame, picture, shortened, text_width
from benchmarks.report.drawing.markup import Element, tag

_TOP: Final = 34.0
_HEIGHT: Final = 230.0
_LEFT: Final = 52.0
_APART: Final = 15.0
_MARK: Final = 3.6


@dataclass(frozen=True)
class Point:
    """Where a line passes, and between which values the samples lie there."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """A case's.

    Attributes:
        name: at its end.
        colour: of the case.
        points: from left to right.
        marked: draw each of the points, because there are few.
    """

    name: str
    colour: int
    points: tuple[Point, ...]
    marked: bool = False


@dataclass(frozen=True)
class Level:
    """A dashed line across, with its name: a floor, or a limit."""

    name: str
    value: float


@dataclass(frozen=True)
class Axes:
    """Both axes with their titles, units in them."""

    x: Axis
    x_title: str
    y: Axis
    y_title: str


def line_chart(
    key: str, title: str, description: str, lines: Sequence[Line], axes: Axes, levels: Sequence[Level] = ()
) -> Element:
    """Lines over bands of their samples; names stand at the right side, moved apart where lines end together."""
    names = [shortened(name, 30) for name in (*(one.name for one in lines), *(one.name for one in levels))]
    right = WIDTH - max(map(text_width, names)) - 16
    frame = Frame(_LEFT, right, _TOP, _TOP + _HEIGHT, axes.x)
    parts = [*frame.bottom_axis(axes.x_title), *frame.left_axis(axes.y, axes.y_title)]
    for level in levels:
        y = frame.y(axes.y, level.value)
        parts.append(tag("line", class_="mark", x1=frame.left, x2=frame.right, y1=y, y2=y))
    for line in lines:
        parts += _line(frame, axes.y, line)
    ends = [line.points[-1].y for line in lines] + [level.value for level in levels]
    stops = [frame.x(line.points[-1].x) for line in lines] + [frame.right] * len(levels)
    colours = [f"c{line.colour}" for line in lines] + ["muted"] * len(levels)
    places = moved_apart([frame.y(axes.y, value) for value in ends], _APART, frame.top, frame.bottom)
    for name, colour, place, value, stop in zip(names, colours, places, ends, stops, strict=True):
        y = frame.y(axes.y, value)
        way = f"M{stop + 5:.1f} {y:.1f}H{frame.right + 2:.1f}L{frame.right + 9:.1f} {place:.1f}"
        parts.append(tag("path", class_=f"leader {colour}", d=way))
        parts.append(tag("text", name, class_="end", x=frame.right + 12, y=place + 4))
    return picture(key, title, description, frame.height, parts)


def moved_apart(places: Sequence[float], apart: float, top: float, bottom: float) -> list[float]:
    """Places of labels at least so far apart, in their order, and moved no more than that takes.

    Where they do not all fit between top and bottom they go on below.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    found = list(places)
    for before, index in itertools.pairwise(order):
        found[index] = max(found[index], found[before] + apart)
    over = max(0.0, found[order[-1]] - bottom) if order else 0.0
    limit = bottom if over else float("inf")
    for index in reversed(order):
        found[index] = min(found[index], limit)
        limit = found[index] - apart
    short = max(0.0, top - found[order[0]]) if order else 0.0
    return [place + short for place in found] if over else found


def _line(frame: Frame, axis: Axis, line: Line) -> Iterator[Element]:
    colour = f"c{line.colour}"
    above = [(frame.x(point.x), frame.y(axis, point.high)) for point in line.points]
    below = [(frame.x(point.x), frame.y(axis, point.low)) for point in reversed(line.points)]
    middle = [(frame.x(point.x), frame.y(axis, point.y)) for point in line.points]
    yield tag("path", class_=f"band {colour}", d=f"{_path([*above, *below])}Z")
    yield tag("path", class_=f"line {colour}", d=_path(middle))
    if line.marked:
        for x, y in middle:
            yield _marker(line.colour, x, y)


def _marker(colour: int, x: float, y: float) -> Element:
    """Shapes differ as colours do, for eyes that do not tell these apart."""
    name = f"fill c{colour}"
    if colour % 3 == 0:
        return tag("circle", class_=name, cx=x, cy=y, r=_MARK)
    if colour % 3 == 1:
        return tag("rect", class_=name, x=x - _MARK, y=y - _MARK, width=2 * _MARK, height=2 * _MARK)
    size = 1.4 * _MARK
    return tag(
        "path",
        class_=name,
        d=f"M{x:.1f} {y - size:.1f}L{x + size:.1f} {y:.1f}L{x:.1f} {y + size:.1f}L{x - size:.1f} {y:.1f}Z",
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
