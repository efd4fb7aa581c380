"""Two records of the same bundle's cases: what changed, and whether it is more than noise.

The statistic is the ratio of medians, new over old. A repetition gives one value for each stage (its sum; of the steps
the median), because what lies within one repetition shares its luck. The interval is the percentile bootstrap of
that ratio (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13): both sides' repetitions are
drawn again with replacement, 10,000 times, seeded. It covers the noise within two runs; what differs from run to run
(the layout of memory, another program for the whole of one run) it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.figures import Figure, figures
from benchmarks.comparison.quality import Finding, Key, one_sided_rows, quality_changes
from benchmarks.errors import BenchmarkError
from benchmarks.peers.protocol import STAGES

CONFIDENCE: Final = 0.99
"""Of one interval: a report has dozens, and of 95 % ones several would be wrong."""
RESAMPLES: Final = 10_000
LEAST_REPETITIONS: Final = 5
"""With fewer, medians of resamples take so few values that the interval says nothing."""
LEAST_CHANGE_S: Final = 5e-4
"""Of audio, search and detokenising, which some models are done with in microseconds, where a page of memory or a
file's place on the disk makes a tenth: less is never called real. It is 1 % of an utterance of the smallest model."""
_SMALL: Final = ("audio", "search", "detokenise")
_SEED: Final = 20


@dataclass(frozen=True)
class Change:
    """One stage of one row.

    Attributes:
        case: its name.
        task: the workload's name.
        stage: one of ``peer.STAGES``.
        old_s: the median of the old repetitions.
        new_s: of the new ones.
        interval: of the ratio new / old, at CONFIDENCE; None where either side has too few repetitions.
    """

    case: str
    task: str
    stage: str
    old_s: float
    new_s: float
    interval: tuple[float, float] | None

    @property
    def ratio(self) -> float:
        """New over old: above 1 is slower."""
        return self.new_s / self.old_s

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves 1 out, and a small stage changed by LEAST_CHANGE_S at least."""
        if self.interval is None or self.interval[0] <= 1 <= self.interval[1]:
            return False
        return self.stage not in _SMALL or abs(self.new_s - self.old_s) >= LEAST_CHANGE_S

    def regressed(self, percent: float) -> bool:
        """Slower beyond the noise, and by more than so many percent."""
        return self.beyond_noise and self.ratio > 1 + percent / 100


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
        changes: rows that both records have.
        quality: what changed in the quality of rows that both have.
        figures: load time and memory, which have no interval.
        environment: one sentence for each difference of the machines, versions and settings.
        missing: rows that one record alone has.
        too_few: a sentence where there are no intervals.
    """

    changes: tuple[Change, ...]
    quality: tuple[Finding, ...]
    figures: tuple[Figure, ...]
    environment: tuple[str, ...]
    missing: tuple[Finding, ...]
    too_few: str | None


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """Compare two records.

    Raises:
        BenchmarkError: they have no timed row in common.
    """
    before, after = _timed_rows(old), _timed_rows(new)
    shared = [key for key in before if key in after]
    if not shared:
        raise BenchmarkError(
            f"the records share no row: one has {_listed(before)}, the other {_listed(after)}: measure the same "
            "cases and workloads"
        )
    least = min(len(row["samples_s"]["total"]) for key in shared for row in (before[key], after[key]))
    too_few = (
        None
        if least >= LEAST_REPETITIONS
        else f"no intervals: a row has {least} repetitions, wanted at least {LEAST_REPETITIONS} (--repetitions)"
    )
    return Comparison(
        changes=tuple(change for key in shared for change in _changes(key, before[key], after[key])),
        quality=tuple(quality_changes(new, before, after)),
        figures=tuple(figures(old, new)),
        environment=(*_environment(old["environment"], new["environment"]), *_threads(old, new)),
        missing=tuple(one_sided_rows(new, before, after)),
        too_few=too_few,
    )


def ratio_interval(
    old: Sequence[float], new: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = _SEED
) -> tuple[float, float]:
    """Percentile bootstrap interval of median(new) / median(old)."""
    generator = np.random.default_rng(seed)
    ratios = _medians(generator, new) / _medians(generator, old)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail)).tolist()
    return low, high


def repetition_values(row: Mapping[str, Any], stage: str) -> list[float]:
    """One value for each repetition: the sum of its samples, of the steps the median; no steps, no values."""
    runs = [run for run in row["samples_s"][stage] if run]
    return [float(np.median(run)) if stage == "step" else float(sum(run)) for run in runs]


def _medians(generator: np.random.Generator, values: Sequence[float]) -> NDArray[np.float64]:
    samples = np.asarray(values, dtype=np.float64)
    drawn = generator.integers(0, samples.size, (RESAMPLES, samples.size))
    medians: NDArray[np.float64] = np.median(samples[drawn], axis=1)
    return medians


def _timed_rows(record: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    return {(row["case"], row["task"]): row for row in record["rows"] if row["samples_s"]}


def _changes(key: Key, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for stage in STAGES:
        before, after = repetition_values(old, stage), repetition_values(new, stage)
        # A stage that a peer does not take apart is 0, and has no ratio.
        if not before or not after or min(*before, *after) <= 0:
            continue
        enough = min(len(before), len(after)) >= LEAST_REPETITIONS
        interval = ratio_interval(before, after) if enough else None
        yield Change(*key, stage, float(np.median(before)), float(np.median(after)), interval)


def _environment(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for name in dict.fromkeys((*before, *after)):
        if name != "date" and before.get(name) != after.get(name):
            yield f"{name}: {before.get(name)} -> {after.get(name)}"


def _threads(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for case in [name for name in old["footprints"] if name in new["footprints"]]:
        before, after = (one["footprints"][case]["threads"] for one in (old, new))
        if before != after:
            yield f"{case}: threads {before} -> {after}"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _listed(rows: Mapping[Key, Any]) -> str:
    return ", ".join(f"{case} ({task})" for case, task in rows) or "none"
