"""Horizontal bars: speed-ups, and what an utterance's time is spent on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report.drawing.axes import Axis, linear_axis
from benchmarks.report.drawing.frame import WIDTH, Frame, Label, gutter, picture, row_labels, text_width
from benchmarks.report.drawing.markup import Element, tag

_ROW: Final = 44.0
_BAR: Final = 20.0
_TOP: Final = 8.0
_NARROWEST: Final = 5
"""Pixels that a segment's text needs beside its own width."""


@dataclass(frozen=True)
class Bar:
    """One row: its name, its length, and the figure at its end."""

    label: Label
    value: float
    text: str


@dataclass(frozen=True)
class Stack:
    """One row: its name, its parts' shares of 1 in the order of the legend, and the whole in words."""

    label: Label
    shares: tuple[float, ...]
    text: str


def bar_chart(key: str, title: str, description: str, bars: Sequence[Bar], *, axis_title: str) -> Element:
    """Bars from 0, a line at 1 for the case that all are relative to, figures at their ends."""
    axis = linear_axis([*(bar.value for bar in bars), 1.0])
    frame = _frame([bar.label for bar in bars], [bar.text for bar in bars], axis)
    centres = [_TOP + _ROW * (number + 0.5) for number in range(len(bars))]
    parts = [*frame.bottom_axis(axis_title)]
    for bar, centre in zip(bars, centres, strict=True):
        width = max(1.0, frame.x(bar.value) - frame.left)
        parts.append(
            tag(
                "rect", class_=f"fill c{bar.label.colour}", x=frame.left, y=centre - _BAR / 2, width=width,
                height=_BAR, rx=2,
            )
        )  # fmt: skip
        parts.append(tag("text", bar.text, class_="figure", x=frame.left + width + 8, y=centre + 4))
    one = frame.x(1.0)
    parts.append(tag("line", class_="mark", x1=one, x2=one, y1=frame.top, y2=frame.bottom))
    parts += row_labels([bar.label for bar in bars], centres, frame.left)
    return picture(key, title, description, frame.height, parts)


def stack_chart(
    key: str, title: str, description: str, stacks: Sequence[Stack], parts_names: Sequence[str]
) -> Element:
    """Bars of equal length, cut by share; shares that fit are written in them, the whole at the end.

    Args:
        key: unique on the page.
        title: what is plotted.
        description: in words.
        stacks: the rows.
        parts_names: of the shares.
    """
    axis = Axis(0, 100, (0, 25, 50, 75, 100))
    frame = _frame([stack.label for stack in stacks], [stack.text for stack in stacks], axis)
    centres = [_TOP + _ROW * (number + 0.5) for number in range(len(stacks))]
    parts = [*frame.bottom_axis("share of the utterance's time, %")]
    for stack, centre in zip(stacks, centres, strict=True):
        parts += _segments(frame, stack, centre, parts_names)
        parts.append(tag("text", stack.text, class_="figure", x=frame.right + 8, y=centre + 4))
    parts += row_labels([stack.label for stack in stacks], centres, frame.left)
    return picture(key, title, description, frame.height, parts)


def legend(names: Sequence[str]) -> Element:
    """The colours of a stack's parts."""
    items = [
        tag("li", tag("span", class_=f"swatch p{number}", aria_hidden="true"), name)
        for number, name in enumerate(names)
    ]
    return tag("ul", items, class_="legend")


def _segments(frame: Frame, stack: Stack, centre: float, names: Sequence[str]) -> list[Element]:
    parts, begin = [], 0.0
    for number, (share, name) in enumerate(zip(stack.shares, names, strict=True)):
        left, right = frame.x(100 * begin), frame.x(100 * (begin + share))
        begin += share
        tip = tag("title", f"{stack.label.text}: {name} {share:.1%}")
        parts.append(
            tag(
                "rect", tip, class_=f"segment p{number}", x=left, y=centre - _BAR / 2, width=right - left,
                height=_BAR,
            )
        )  # fmt: skip
        text = f"{share:.0%}"
        if right - left > text_width(text) + _NARROWEST:
            middle = (left + right) / 2
            parts.append(
                tag("text", text, class_=f"inside on{number}", x=middle, y=centre + 4, text_anchor="middle")
            )
    return parts


def _frame(labels: Sequence[Label], ends: Sequence[str], axis: Axis) -> Frame:
    right = WIDTH - max(text_width(text, bold=True) for text in ends) - 14
    return Frame(gutter(labels), right, _TOP, _TOP + _ROW * len(labels), axis)
