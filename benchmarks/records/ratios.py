"""The ratios that one run gives: each of a bundle's cases against its peers, against its floor, against its weights.

Absolute times do not carry to another machine or hour; ratios of medians of one interleaved run do, about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from benchmarks.comparison.compare import LEAST_REPETITIONS, ratio_interval, repetition_values
from benchmarks.peers.protocol import OWN

_STAGES: Final = (("step", "step"), ("encoder", "encoder"), ("total", "utterance"))
"""Stage -> as it is called."""
_BYTES_PER_WEIGHT: Final = 4
_TORCH: Final = "torch"


@dataclass(frozen=True)
class Ratio:
    """One figure.

    Attributes:
        case: the bundle's.
        task: the workload's name.
        what: "step", "encoder", "utterance", "RssAnon" or "step, 5 beams / 1 beam".
        against: the peer's name, "floor", "fp32 weights", or empty.
        faster: True: how many times as fast as ``against``, more is better. False: how many times as much.
        value: of medians.
        interval: of the ratio, by bootstrap over repetitions; None where there are too few, or one figure alone.
    """

    case: str
    task: str
    what: str
    against: str
    faster: bool
    value: float
    interval: tuple[float, float] | None = None


def with_ratios(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with all of its ratios; the floor must be in it already."""
    return {**record, "ratios": [asdict(one) for one in ratios(record)]}


def ratios(record: Mapping[str, Any]) -> Iterator[Ratio]:
    """Of every case of the bundle with every workload, in the order of the workloads."""
    cases = {one["name"]: one for one in record["cases"]}
    rows = {(one["case"], one["task"]): one for one in record["rows"] if one["samples_s"]}
    for workload in record["workloads"]:
        for name, case in cases.items():
            row = rows.get((name, workload["name"]))
            if row is None or case["kind"] != OWN:
                continue
            for other in _peers(case, cases.values()):
                theirs = rows.get((other, workload["name"]))
                if theirs is not None:
                    yield from _against(row, theirs)
            yield from _floor(record, case, row)
            yield from _memory(record, row)
            yield from _beams(record, workload, row, rows)


def _peers(case: Mapping[str, Any], cases: Any) -> list[str]:
    """Every PyTorch case, and others of the same precision on the same device."""
    found = []
    for other in cases:
        settings = other["settings"]
        same = other["kind"] == _TORCH or other["precision"] == case["precision"]
        if other["kind"] != OWN and same and settings.get("device", "cpu") == _device(case):
            found.append(other["name"])
    return found


def _device(case: Mapping[str, Any]) -> str:
    """Where a case of the bundle computes, in PyTorch's words."""
    return "cpu" if case["settings"].get("provider", "cpu") == "cpu" else "cuda"


def _against(row: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Ratio]:
    for stage, what in _STAGES:
        ours, theirs = repetition_values(row, stage), repetition_values(other, stage)
        if ours and theirs:
            value, interval = _ratio(ours, theirs)
            yield Ratio(
                row["case"], row["task"], what, other["case"], faster=True, value=value, interval=interval
            )


def _floor(record: Mapping[str, Any], case: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[Ratio]:
    floor = record.get("floor", {})
    floor_s = floor.get("step_s", {}).get(case["precision"])
    steps = repetition_values(row, "step")
    if floor_s is not None and steps and floor.get("device", "cuda") == _device(case):
        value, interval = _ratio([floor_s] * len(steps), steps)
        yield Ratio(row["case"], row["task"], "step", "floor", faster=False, value=value, interval=interval)


def _memory(record: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[Ratio]:
    parameters = record["environment"].get("bundle", {}).get("parameters")
    memory = row.get("memory")
    if memory and parameters:
        value = memory["RssAnon"] / (_BYTES_PER_WEIGHT * parameters)
        yield Ratio(row["case"], row["task"], "RssAnon", "fp32 weights", faster=False, value=value)


def _beams(
    record: Mapping[str, Any],
    workload: Mapping[str, Any],
    row: Mapping[str, Any],
    rows: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Iterator[Ratio]:
    """What more beams cost, against the same workload with one."""
    if workload["beams"] == 1:
        return
    same = ("batch", "tokens", "exact", "audio_s", "utterances")
    for other in record["workloads"]:
        alike = all(other[name] == workload[name] for name in same)
        single = rows.get((row["case"], other["name"])) if alike and other["beams"] == 1 else None
        if single is None:
            continue
        ours, theirs = repetition_values(row, "step"), repetition_values(single, "step")
        if ours and theirs:
            value, interval = _ratio(theirs, ours)
            what = f"step, {workload['beams']} beams / 1 beam"
            yield Ratio(row["case"], row["task"], what, "", faster=False, value=value, interval=interval)


def _ratio(below: Sequence[float], above: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    enough = min(len(below), len(above)) >= LEAST_REPETITIONS
    return float(np.median(above) / np.median(below)), ratio_interval(below, above) if enough else None
