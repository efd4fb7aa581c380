"""The record of a measurement, as JSON: raw samples first, and what follows from them beside."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring.bandwidth_floor import Bandwidth, floor_s
from benchmarks.measuring.busy import Load, busy_notes
from benchmarks.measuring.interleaved import Measured, Repetitions
from benchmarks.peers.protocol import Case, Task
from benchmarks.records.rows import rows_of, workloads_of

RECORD_VERSION: Final = 2


def record_of(
    measured: Measured,
    cases: Sequence[Case],
    tasks: Sequence[Task],
    *,
    repetitions: Repetitions,
    references: Sequence[str],
    left_out: Mapping[str, str],
    environment: Mapping[str, Any],
    load: Load,
) -> dict[str, Any]:
    """Everything about one measurement, as JSON values.

    Args:
        measured: the samples.
        cases: that were to be measured.
        tasks: that each of them decoded.
        repetitions: of each.
        references: names of the cases that all are compared with.
        left_out: what is not among the cases -> why.
        environment: of ``describe_environment``.
        load: before it began.
    """
    rows, others = rows_of(measured.measurements, tasks, references), measured.others
    return {
        "record_version": RECORD_VERSION,
        "environment": dict(environment),
        "load_before": asdict(load),
        "others_during": None if others is None else asdict(others),
        "notes": [*busy_notes(load, _spreads(rows), others), *_unsteady(measured)],
        "repetitions": asdict(repetitions),
        "references": list(references),
        "cases": [asdict(case) for case in cases],
        "tasks": [asdict(task) for task in tasks],
        "workloads": workloads_of(tasks),
        "rows": rows,
        "footprints": {name: asdict(one) for name, one in measured.footprints.items()},
        "left_out": {**left_out, **measured.failures},
    }


def with_floor(
    record: Mapping[str, Any], step_weights: Mapping[str, int], bandwidth: Bandwidth
) -> dict[str, Any]:
    """The record with the bandwidth floor of each precision.

    Args:
        record: of ``record_of``.
        step_weights: precision -> bytes that a step reads.
        bandwidth: of the memory that they are in.
    """
    steps_s = {precision: floor_s(size, bandwidth) for precision, size in step_weights.items()}
    floor = {"bandwidth": asdict(bandwidth), "step_bytes": dict(step_weights), "step_s": steps_s}
    return {**record, "floor": floor}


def write_record(record: Mapping[str, Any], path: Path) -> None:
    """Write it; the tables are rendered from what is read back.

    JSON has no numbers that are not finite, as scores of a broken engine may be: they become null.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_text(json.dumps(_finite(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _spreads(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        f"{row['case']} ({row['task']}, {stage})": spread
        for row in rows
        for stage, spread in row["repetition_spread"].items()
    }


def _unsteady(measured: Measured) -> list[str]:
    names = [f"{one.case} ({one.task})" for one in measured.measurements if not one.steady]
    return [f"not the same tokens in every repetition: {', '.join(names)}"] if names else []
