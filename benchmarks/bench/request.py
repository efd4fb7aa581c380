"""What bench-s2t is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DURATIONS_S: Final = (2.0, 10.0, 30.0)


@dataclass(frozen=True)
class BenchRequest:
    """What to measure."""

    bundle: Path
    against: tuple[str, ...] = ()
    """As ``check-s2t --against``; empty measures no peer."""
    peers: tuple[str, ...] = ()
    """Keys of ``bench_cases.offered_peers``."""
    providers: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ()
    """Empty: every precision of the bundle."""
    durations_s: tuple[float, ...] = DURATIONS_S
    """Of the stand-ins; empty measures recordings alone."""
    batches: tuple[int, ...] = (1,)
    beams: tuple[int, ...] = (1, 5)
    threads: int | None = None
    spin: bool | None = None
    """Of ONNX Runtime's threads; None takes the runtime's default."""
    tokens: int = 40
    audio: tuple[Path, ...] = ()
    references: Path | None = None
    language: str | None = None
    first_token: int | None = None
    """Forced, where there is no language to ask for."""
    warmups: int = 2
    repetitions: int = 10
    output: Path = Path()


@dataclass(frozen=True)
class CompareRequest:
    """Which records to compare."""

    old: Path
    new: Path
    max_regression: float | None = None
    """Percent; None judges nothing."""


Request = BenchRequest | CompareRequest
