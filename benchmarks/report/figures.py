"""Numbers as people read them: three significant digits, thousands apart, the unit that fits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NONE: Final = "–"
MIB: Final = 2**20


@dataclass(frozen=True)
class Unit:
    """Of time: its name, and how many of it a second has."""

    name: str
    per_second: float


_UNITS: Final = (Unit("s", 1.0), Unit("ms", 1e3), Unit("µs", 1e6))
MILLISECONDS: Final = _UNITS[1]


def time_unit(seconds: Iterable[float]) -> Unit:
    """The unit in which the largest of some times is 1 .. 10,000 or so."""
    largest = max(seconds)
    if largest >= 10:
        return _UNITS[0]
    return _UNITS[1] if largest >= 1e-3 else _UNITS[2]


def digits(value: float | None, significant: int = 3) -> str:
    """A number with so many significant digits, whole numbers whole, thousands apart; a dash for None."""
    if value is None:
        return NONE
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def milliseconds(seconds: float | None) -> str:
    """Without the unit, which stands at the column's head."""
    return NONE if seconds is None else digits(seconds * MILLISECONDS.per_second)


def readable_time(seconds: float) -> str:
    """With the unit that fits: "41.3 ms"."""
    unit = time_unit([seconds * 10 if seconds >= 1 else seconds])
    return f"{digits(seconds * unit.per_second)} {unit.name}"


def mebibytes(size: float | None) -> str:
    """Without the unit."""
    return NONE if size is None else f"{size / MIB:,.0f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """With its sign."""
    return NONE if share is None else f"{share:.{decimals}%}"


def small(value: float | None) -> str:
    """A difference of scores; a record has null where it was not finite."""
    if value is None:
        return "not finite"
    return digits(value, 2) if value == 0 or value >= 1e-3 else f"{value:.1e}"
