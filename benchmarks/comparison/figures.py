"""Figures of a case that a record has once: memory, which is judged all the same, and load time, which is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MEBIBYTE: Final = 2**20
_NOISE_SHARE: Final = 0.03
_NOISE_BYTES: Final = 16 * _MEBIBYTE
"""Memory repeats from run to run but for what allocators keep and which pages of a file are resident."""


@dataclass(frozen=True)
class Figure:
    """One figure of one case.

    Attributes:
        name: the case's and its own.
        old: in ``unit``.
        new: in ``unit``.
        unit: "s" or "MiB".
        noise: by how much it may differ between two runs of the same; None: nobody knows, and it is not judged, as
            load time, which hangs on what the system has read before.
    """

    name: str
    old: float
    new: float
    unit: str
    noise: float | None

    @property
    def sentence(self) -> str:
        """What changed."""
        share = f" ({self.new / self.old - 1:+.1%})" if self.old else ""
        return f"{self.name} {self.old:,.4g} -> {self.new:,.4g} {self.unit}{share}"

    def regressed(self, percent: float) -> bool:
        """More than before beyond the noise, and by more than so many percent."""
        grown = self.new - self.old
        return self.noise is not None and grown > max(self.noise, self.old * percent / 100)


def figures(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Figure]:
    """Of every case that both records have."""
    for case in [name for name in old["footprints"] if name in new["footprints"]]:
        before, after = old["footprints"][case], new["footprints"][case]
        yield Figure(f"{case}: load time", before["load_s"], after["load_s"], "s", None)
        peaks = [(one["warm"] or one["host"])["VmHWM"] for one in (before, after)]
        yield _memory(f"{case}: peak memory", peaks)
        yield _memory(f"{case}: steady anonymous memory", [one["host"]["RssAnon"] for one in (before, after)])
        devices = [one["device_bytes"] for one in (before, after)]
        if None not in devices:
            yield _memory(f"{case}: memory of the device", devices)


def _memory(name: str, sizes: list[int]) -> Figure:
    old, new = (size / _MEBIBYTE for size in sizes)
    return Figure(name, old, new, "MiB", max(_NOISE_BYTES / _MEBIBYTE, _NOISE_SHARE * old))
