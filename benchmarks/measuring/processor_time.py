"""What others took of the processors while a measurement ran, which a load average from before it does not know."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")
_BUSY: Final = (0, 1, 2, 5, 6)
"""Columns of /proc/stat: user, nice, system, hard and soft interrupts."""
_STOLEN: Final = 7
_COLUMNS: Final = 8
"""Idle and waiting are the others; behind them come guests, whose time user has already."""


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds of the processors that this process may use, since the machine was started.

    Attributes:
        busy_s: of all programs.
        stolen_s: that the host gave to other machines.
        whole_s: busy, stolen and idle.
        own_s: of this process, and of its children that have ended.
    """

    busy_s: float
    stolen_s: float
    whole_s: float
    own_s: float


@dataclass(frozen=True)
class Others:
    """Shares of the processors' whole time.

    Attributes:
        programs: of programs that are not the measurement's.
        stolen: of other machines on the same host.
    """

    programs: float
    stolen: float


def processor_time(stat: Path = _STAT) -> ProcessorTime | None:
    """Look now; None where the system does not count it, as outside Linux and in some containers."""
    try:
        lines = [line.split() for line in stat.read_text(encoding="ascii").splitlines()]
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    except (AttributeError, OSError):
        return None
    counts = [list(map(int, line[1 : 1 + _COLUMNS])) for line in lines if line and line[0] in usable]
    if not counts or any(len(count) < _COLUMNS for count in counts):
        return None
    sums = [sum(column) / os.sysconf("SC_CLK_TCK") for column in zip(*counts, strict=True)]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own_s = sum(one.ru_utime + one.ru_stime for one in used)
    return ProcessorTime(sum(sums[place] for place in _BUSY), sums[_STOLEN], sum(sums), own_s)


def others_between(before: ProcessorTime | None, after: ProcessorTime | None) -> Others | None:
    """What others took; every child that worked in between must have ended. None where it was not counted."""
    if before is None or after is None or after.whole_s <= before.whole_s:
        return None
    whole_s = after.whole_s - before.whole_s
    # The kernel counts programs by ticks and ours by the nanosecond: a quiet machine may be a little below 0.
    programs_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return Others(max(0.0, programs_s / whole_s), max(0.0, (after.stolen_s - before.stolen_s) / whole_s))
