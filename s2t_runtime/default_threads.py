"""How many threads a session gets that is told no number: what this process may use, and not what the machine has.

A container may be kept to some processors (affinity: a cpuset, taskset) or to a share of their time (the quota of a
cgroup), and ONNX Runtime looks at neither as it counts. cpp/src/sessions/default_threads.cpp counts the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Final

_ROOT: Final = Path("/")
_TOPOLOGY: Final = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_GROUPS: Final = "proc/self/cgroup"
_MOUNTS: Final = "proc/self/mountinfo"


@dataclass(frozen=True)
class DefaultThreads:
    """A number of threads, and what it follows from."""

    count: int
    """The cores, or the quota rounded up where that is less; at least 1."""
    cores: int
    """Physical cores among the usable processors; a processor whose core the system does not tell counts as one."""
    usable: int
    """Logical processors that this thread may run on."""
    quota: float | None
    """Processors' worth of time that the cgroups leave; None where they set no limit."""

    @property
    def reason(self) -> str:
        """Why it is this number, for people."""
        quota = "none" if self.quota is None else f"{self.quota:.3g}"
        return f"usable processors: {self.usable}, their physical cores: {self.cores}, quota of the cgroup: {quota}"


def default_threads(root: Path = _ROOT, usable: frozenset[int] | None = None) -> DefaultThreads:
    """Count what this process may use.

    Args:
        root: where proc and sys lie.
        usable: numbers of the processors that it may run on; None asks the system.
    """
    processors = _usable() if usable is None else usable
    cores = len({_core(root, number) for number in processors})
    quotas = (*_quotas_v2(root), *_quotas_v1(root))
    quota = min(quotas, default=None)
    rounded = cores if quota is None else -(-quota.numerator // quota.denominator)
    count = max(1, min(cores, rounded))
    return DefaultThreads(count, cores, len(processors), None if quota is None else float(quota))


def _usable() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _core(root: Path, number: int) -> str:
    """A name of the core that a processor is part of: the list of its processors."""
    return _text(root / _TOPOLOGY.format(number)) or str(number)


def _quotas_v2(root: Path) -> Iterator[Fraction]:
    for folder in _folders(root, "cgroup2", ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        yield from _quota(quota, period)


def _quotas_v1(root: Path) -> Iterator[Fraction]:
    for folder in _folders(root, "cgroup", "cpu"):
        yield from _quota(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _quota(quota: str, period: str) -> Iterator[Fraction]:
    """Quota over period, both in microseconds; nothing for "max", -1 and files that are not there."""
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        yield Fraction(int(quota), int(period))


def _folders(root: Path, kind: str, controller: str) -> Iterator[Path]:
    """The folder of this process's cgroup and all above it, as far as they are mounted: each may set a limit.

    Args:
        root: where proc lies.
        kind: of the mount: cgroup2, or cgroup for version 1.
        controller: of version 1; empty for version 2, which has one hierarchy.
    """
    group = _group(root, controller)
    mount = _mount(root, kind, controller)
    if group is None or mount is None:
        return
    top, point = mount
    # What is mounted may begin further down than the path does, and a path may lie outside its namespace ("/../x").
    below = group.relative_to(top) if group.is_relative_to(top) else PurePosixPath()
    own = PurePosixPath() if ".." in below.parts else below
    for part in (own, *own.parents):
        yield root / point.relative_to("/") / part


def _group(root: Path, controller: str) -> PurePosixPath | None:
    for line in _text(root / _GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):  # version 2 has none: "0::/path"
            return PurePosixPath(path)
    return None


def _mount(root: Path, kind: str, controller: str) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Which folder of the hierarchy is mounted, and where."""
    for line in _text(root / _MOUNTS).splitlines():
        before, _, behind = line.partition(" - ")
        fields, (found, _, options) = before.split(" "), behind.split(" ", 2)
        if found == kind and (not controller or controller in options.split(",")):
            top, point = fields[3], fields[4]
            return PurePosixPath(top), PurePosixPath(point)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
