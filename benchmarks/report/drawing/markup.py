"""HTML and SVG as values: elements with attributes and children, escaped where they are written and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


@dataclass(frozen=True)
class Element:
    """One element; text among the children is text, never markup."""

    name: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Element | str, ...]

    def __str__(self) -> str:
        """As it is written in a document of HTML, with the SVG in it."""
        opening = "".join(f' {name}="{html.escape(value)}"' for name, value in self.attributes)
        if self.name in _VOID:
            return f"<{self.name}{opening}>"
        inside = "".join(
            str(child) if isinstance(child, Element) else html.escape(child, quote=False)
            for child in self.children
        )
        return f"<{self.name}{opening}>{inside}</{self.name}>"


def tag(
    name: str, /, *children: Element | str | Iterable[Element] | None, **attributes: str | float | None
) -> Element:
    """An element.

    Args:
        name: of the element.
        children: elements, iterables of them, and text; None is left out.
        attributes: by name, ``_`` standing for ``-`` (``class_`` is ``class``; ``viewBox`` stays); None is left out.
            Numbers are written with two decimals at most, which is a hundredth of a pixel.
    """
    found: list[Element | str] = []
    for child in children:
        if isinstance(child, Element | str):
            found.append(child)
        elif child is not None:
            found.extend(child)
    written = tuple(
        (key.rstrip("_").replace("_", "-"), value if isinstance(value, str) else _number(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Element(name, written, tuple(found))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
