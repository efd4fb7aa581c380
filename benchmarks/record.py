"""The record of a measurement, as JSON: raw samples first, and what follows from them beside."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.agreement import agreement
from benchmarks.bandwidth_floor import Bandwidth, floor_s
from benchmarks.busy import Load, busy_notes
from benchmarks.interleaved import Measured, Measurement, Repetitions
from benchmarks.peer import STAGES, Case, Task
from benchmarks.summary import summarise

RECORD_VERSION: Final = 1
_WATCHED: Final = ("encoder", "total")
"""Stages whose samples should be equal, so that their spread is noise; a step grows with the tokens before it."""


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
    by_name = {task.name: task for task in tasks}
    answers = {(one.case, one.task): one.answer for one in measured.measurements}
    rows = []
    for one in measured.measurements:
        wanted = {name: answers.get((name, one.task)) for name in references if name != one.case}
        parity = {
            name: asdict(agreement(one.answer, reference, by_name[one.task].tokens))
            for name, reference in wanted.items()
            if reference is not None
        }
        rows.append(_row(one, by_name[one.task], parity))
    spreads = {
        f"{row['case']} ({row['task']}, {stage})": row["summary"][stage]["spread"]
        for row in rows
        if row["summary"]
        for stage in _WATCHED
    }
    return {
        "record_version": RECORD_VERSION,
        "environment": dict(environment),
        "load_before": asdict(load),
        "notes": [*busy_notes(load, spreads), *_unsteady(measured)],
        "repetitions": asdict(repetitions),
        "references": list(references),
        "cases": [asdict(case) for case in cases],
        "tasks": [asdict(task) for task in tasks],
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


def _row(one: Measurement, task: Task, parity: Mapping[str, Any]) -> dict[str, Any]:
    samples = {stage: [list(times.samples(stage)) for times in one.times] for stage in STAGES}
    flat = {stage: [value for run in runs for value in run] for stage, runs in samples.items()}
    rates = [task.tokens * len(task.audio) / times.decoding_s for times in one.times]
    return {
        "case": one.case,
        "task": one.task,
        "steady": one.steady,
        "tokens": [list(tokens) for tokens in one.answer.tokens],
        "scores": list(one.answer.scores),
        "parity": dict(parity),
        "samples_s": samples if one.times else {},
        "summary": {stage: asdict(summarise(values)) for stage, values in flat.items() if values},
        "tokens_per_s": asdict(summarise(rates)) if rates else None,
        "real_time_factor": asdict(summarise([value / task.audio_s for value in flat["total"]]))
        if rates
        else None,
    }


def _unsteady(measured: Measured) -> list[str]:
    names = [f"{one.case} ({one.task})" for one in measured.measurements if not one.steady]
    return [f"not the same tokens in every repetition: {', '.join(names)}"] if names else []
