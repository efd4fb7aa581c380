"""Whether the machine had time for the measurement: figures of a busy one say so themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.measuring.processor_time import Others

_BUSY_SHARE: Final = 0.25
"""Of the cores, kept busy by others before anything is measured."""
_DISTURBED: Final = 0.1
"""Of the processors' time, taken by others during the measurement."""
_WIDE: Final = 0.1
"""A spread from which on differences of a tenth mean nothing."""
_NAMED: Final = 3


@dataclass(frozen=True)
class Load:
    """Processes that wanted to run in the minute before.

    Attributes:
        average: the system's load average of one minute; None where it has none.
        cores: that this process may use.
    """

    average: float | None
    cores: int


def current_load() -> Load:
    """Look now; before the measurement, whose own work counts as well."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return Load(os.getloadavg()[0], cores)
    except (AttributeError, OSError):
        return Load(None, cores)


def busy_notes(before: Load, spreads: Mapping[str, float], others: Others | None = None) -> list[str]:
    """What a reader of the figures must know.

    Args:
        before: the load before the measurement began.
        spreads: series -> ``Summary.spread``.
        others: during the measurement; None where nobody knows.

    Returns:
        One sentence for each reason to doubt the figures; none for a quiet machine.
    """
    notes = []
    if before.average is not None and before.average > _BUSY_SHARE * before.cores:
        notes.append(
            f"the machine was busy before the measurement began (load average {before.average:.2f} on "
            f"{before.cores} cores): measure again when it is idle"
        )
    if others is not None and others.programs + others.stolen > _DISTURBED:
        notes.append(
            f"during the measurement other programs took {others.programs:.0%} of the processors' time and other "
            f"machines on the same host {others.stolen:.0%}: measure again when it is idle"
        )
    wide = {name: spread for name, spread in spreads.items() if spread > _WIDE}
    if wide:
        worst = sorted(wide, key=lambda name: -wide[name])
        listed = ", ".join(f"{name} {wide[name]:.0%}" for name in worst[:_NAMED])
        listed += f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
        notes.append(
            f"the middle half of the samples spreads over more than {_WIDE:.0%} of the median in {listed}: "
            "smaller differences mean nothing there"
        )
    return notes
