"""Every decoding as a dot at its distance from the case's median, the middle half as a box, the median as a line.

Distances are relative, so that a fast case's spread is as visible as a slow one's; the times stand at the row's end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.report.drawing.axes import linear_axis
from benchmarks.report.drawing.frame import WIDTH, Frame, Label, gutter, picture, row_labels, text_width
from benchmarks.report.drawing.markup import Element, tag

_ROW: Final = 48.0
_BOX: Final = 22.0
_TOP: Final = 8.0
_GOLDEN: Final = 0.618
"""Its multiples, less their whole parts, spread evenly: dots lie apart, and in the same place every time."""


@dataclass(frozen=True)
class Distribution:
    """One row.

    Attributes:
        label: its name.
        deviations: of every sample from the median, in percent.
        text: the median.
        beneath: the tail.
    """

    label: Label
    deviations: tuple[float, ...]
    text: str
    beneath: str


def distribution_chart(key: str, title: str, description: str, rows: Sequence[Distribution]) -> Element:
    """One row for each case, on one axis in percent with 0 in it."""
    every = [value for row in rows for value in row.deviations]
    axis = linear_axis([min(*every, -1.0), max(*every, 1.0)], from_zero=False)
    room = max(max(text_width(row.text, bold=True), text_width(row.beneath)) for row in rows)
    labels = [row.label for row in rows]
    frame = Frame(gutter(labels), WIDTH - room - 16, _TOP, _TOP + _ROW * len(rows), axis)
    centres = [_TOP + _ROW * (number + 0.5) for number in range(len(rows))]
    parts = [*frame.bottom_axis("distance from the case's median, %")]
    for row, centre in zip(rows, centres, strict=True):
        parts += _row(frame, row, centre)
        x = frame.right + 12
        parts.append(tag("text", row.text, class_="figure", x=x, y=centre - 1))
        parts.append(tag("text", row.beneath, class_="quality", x=x, y=centre + 13))
    parts += row_labels(labels, centres, frame.left)
    return picture(key, title, description, frame.height, parts)


def _row(frame: Frame, row: Distribution, centre: float) -> Iterator[Element]:
    values = np.asarray(row.deviations)
    low, median, high = (frame.x(float(value)) for value in np.percentile(values, (25, 50, 75)))
    colour = f"c{row.label.colour}"
    yield tag(
        "rect",
        class_=f"box {colour}",
        x=low,
        y=centre - _BOX / 2,
        width=max(1.0, high - low),
        height=_BOX,
        rx=3,
    )
    for number, value in enumerate(values.tolist()):
        offset = (number * _GOLDEN % 1 - 0.5) * _BOX * 0.9
        yield tag("circle", class_=f"dot {colour}", cx=frame.x(value), cy=centre + offset, r=2.8)
    ends = (centre - _BOX / 2 - 3, centre + _BOX / 2 + 3)
    yield tag("line", class_="median", x1=median, x2=median, y1=ends[0], y2=ends[1])
