"""Axes with ticks at round numbers, linear and logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_STEPS: Final = (1.0, 2.0, 5.0)
_MOST_LOG_TICKS: Final = 9
_WIDE: Final = 8.0
"""From this ratio on, small values are lost on a linear axis."""


@dataclass(frozen=True)
class Axis:
    """From low to high.

    Attributes:
        low: at place 0.
        high: at place 1.
        ticks: round numbers from low to high.
        logarithmic: equal ratios are equal distances.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, 0 .. 1; outside of the axis it is at its end."""
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))


def linear_axis(values: Sequence[float], *, from_zero: bool = True, ticks: int = 5) -> Axis:
    """An axis that holds all values, with about so many ticks at multiples of 1, 2, 2.5 or 5 times a power of ten.

    Args:
        values: finite; none below 0 where it begins there.
        from_zero: lengths are compared, so that 0 must be in it.
        ticks: wanted.
    """
    low, high = (0.0 if from_zero else min(values)), max(values)
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * one for one in _STEPS if power * one >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    found = tuple(round(number * step, 12) for number in range(first, last + 1))
    return Axis(found[0], found[-1], found)


def log_axis(values: Sequence[float]) -> Axis:
    """A logarithmic axis from one round number to another, ticks at 1, 2 and 5 times powers of ten.

    Over several decades only the ends and the powers of ten between have ticks.

    Args:
        values: above 0.
    """
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    round_numbers = [float(f"{step:g}e{power}") for power in powers for step in _LOG_STEPS]
    first = max(index for index, value in enumerate(round_numbers) if value <= low * (1 + 1e-9))
    last = min(index for index, value in enumerate(round_numbers) if value >= high * (1 - 1e-9))
    if first == last:
        first, last = max(0, first - 1), last + 1
    found = round_numbers[first : last + 1]
    if len(found) > _MOST_LOG_TICKS:
        inner = found[2:-2]  # beside an end there is no room
        whole = [value for value in inner if math.isclose(math.log10(value), round(math.log10(value)))]
        return Axis(found[0], found[-1], (found[0], *whole, found[-1]), logarithmic=True)
    return Axis(found[0], found[-1], tuple(found), logarithmic=True)


def fitting_axis(values: Sequence[float], *, from_zero: bool = True) -> Axis:
    """Logarithmic where the largest value is many times the smallest, linear elsewhere."""
    if min(values) > 0 and max(values) / min(values) > _WIDE:
        return log_axis(values)
    return linear_axis(values, from_zero=from_zero)


def tick_text(value: float) -> str:
    """A tick's label: as short as it can be, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
