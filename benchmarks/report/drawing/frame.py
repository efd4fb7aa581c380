"""What all plots share: room for labels, an axis along the bottom, and what a plot says to those who do not see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report.drawing.axes import Axis, tick_text
from benchmarks.report.drawing.markup import Element, tag

WIDTH: Final = 560.0
_LETTER: Final = 7.0
"""Mean width of a letter at 12 px, in pixels, in the wider ones of the usual sans-serif fonts."""
_BOLD: Final = 8.0
_QUALITY: Final = 6.4
_LONGEST: Final = 24
_LONGEST_QUALITY: Final = 32
_TICK_ROOM: Final = 44.0


@dataclass(frozen=True)
class Label:
    """A row's name, and beneath it what its speed is worth."""

    text: str
    quality: str
    colour: int


@dataclass(frozen=True)
class Frame:
    """The plot's area in pixels, within a picture that is WIDTH wide.

    Attributes:
        left: of the area.
        right: of the area.
        top: of the area.
        bottom: of the area.
        axis: along the bottom.
    """

    left: float
    right: float
    top: float
    bottom: float
    axis: Axis

    def x(self, value: float) -> float:
        """Of a value on the axis."""
        return self.left + self.axis.place(value) * (self.right - self.left)

    @property
    def height(self) -> float:
        """Of the whole picture."""
        return self.bottom + _TICK_ROOM

    def bottom_axis(self, title: str) -> list[Element]:
        """Grid lines, ticks and the axis's title with its unit."""
        parts = []
        for tick in self.axis.ticks:
            x = self.x(tick)
            parts.append(tag("line", class_="grid", x1=x, x2=x, y1=self.top, y2=self.bottom))
            parts.append(
                tag("text", tick_text(tick), class_="tick", x=x, y=self.bottom + 16, text_anchor="middle")
            )
        middle = (self.left + self.right) / 2
        parts.append(tag("text", title, class_="axis", x=middle, y=self.bottom + 34, text_anchor="middle"))
        return parts

    def left_axis(self, axis: Axis, title: str) -> list[Element]:
        """Grid lines, ticks and title of an axis at the left side."""
        parts = []
        for tick in axis.ticks:
            y = self.y(axis, tick)
            parts.append(tag("line", class_="grid", x1=self.left, x2=self.right, y1=y, y2=y))
            parts.append(
                tag("text", tick_text(tick), class_="tick", x=self.left - 8, y=y + 4, text_anchor="end")
            )
        parts.append(tag("text", title, class_="axis", x=4, y=self.top - 12))
        return parts

    def y(self, axis: Axis, value: float) -> float:
        """Of a value on an axis at the left side."""
        return self.bottom - axis.place(value) * (self.bottom - self.top)


def text_width(text: str, *, bold: bool = False) -> float:
    """About so many pixels at 12 px."""
    return (_BOLD if bold else _LETTER) * len(text)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Text that fits beside a plot; the whole of it is in the table beneath."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def gutter(labels: Sequence[Label]) -> float:
    """Room for names at the left, in pixels."""
    names = max(_BOLD * len(shortened(one.text)) for one in labels)
    return max(names, *(_QUALITY * len(shortened(one.quality, _LONGEST_QUALITY)) for one in labels)) + 14


def row_labels(labels: Sequence[Label], centres: Sequence[float], right: float) -> Iterable[Element]:
    """Names right-aligned beside their rows, quality beneath."""
    for label, centre in zip(labels, centres, strict=True):
        x = right - 10
        text = tag("tspan", shortened(label.text))
        yield tag("text", text, class_="name", x=x, y=centre - 1, text_anchor="end")
        quality = shortened(label.quality, _LONGEST_QUALITY)
        yield tag("text", quality, class_="quality", x=x, y=centre + 13, text_anchor="end")


def picture(key: str, title: str, description: str, height: float, parts: Iterable[Element]) -> Element:
    """The plot as one image with a name and a description, which screen readers read in its place.

    Args:
        key: unique on the page; ids are made of it.
        title: what is plotted.
        description: what it shows, in words.
        height: in pixels.
        parts: of the drawing.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-description"),
        tag("g", parts, aria_hidden="true"),
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_labelledby=f"{key}-title {key}-description",
    )
