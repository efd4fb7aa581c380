"""The rows of a record: one for each case with each workload, its samples and its quality side by side.

A workload is one task, or several that count together, as recordings do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from benchmarks.measuring.agreement import Agreement, agreement
from benchmarks.measuring.interleaved import Measurement
from benchmarks.measuring.summary import summarise
from benchmarks.peers.protocol import STAGES, StageTimes, Task

_WATCHED: Final = ("encoder", "total")
"""Stages whose repetitions should be equal, so that their spread is noise; a step grows with the tokens before it."""

_Pair = tuple[Measurement, Task]
_Answers = Mapping[tuple[str, str], Measurement]


def workloads_of(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """What the rows' tasks are, in order, as JSON values."""
    found = []
    for name, members in _by_workload(tasks).items():
        first = members[0]
        found.append(
            {
                "name": name,
                "tasks": [task.name for task in members],
                "audio_s": sum(task.audio_s for task in members),
                "utterances": sum(len(task.audio) for task in members),
                "batch": len(first.audio),
                "beams": first.beams,
                "tokens": first.tokens,
                "exact": first.exact,
            }
        )
    return found


def rows_of(
    measurements: Sequence[Measurement], tasks: Sequence[Task], references: Sequence[str]
) -> list[dict[str, Any]]:
    """One row for each case with each workload, as JSON values.

    Args:
        measurements: of all cases with all tasks.
        tasks: that were measured.
        references: names of the cases that all are compared with.
    """
    answers = {(one.case, one.task): one for one in measurements}
    cases = list(dict.fromkeys(one.case for one in measurements))
    rows = []
    for name, members in _by_workload(tasks).items():
        for case in cases:
            pairs = [(answers[case, task.name], task) for task in members if (case, task.name) in answers]
            if len(pairs) == len(members):
                rows.append(_row(name, pairs, _parity(pairs, answers, references)))
    return rows


def _by_workload(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.workload or task.name, []).append(task)
    return found


def _parity(pairs: Sequence[_Pair], answers: _Answers, references: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not all(_has_text(one) for one, _ in pairs):
        return found
    for name in references:
        others = [answers.get((name, task.name)) for _, task in pairs]
        if name == pairs[0][0].case or None in others or not all(_has_text(one) for one in others):
            continue
        parts = [
            agreement(one.answer, other.answer, task.generated(other.answer.tokens[0]))
            for (one, task), other in zip(pairs, others, strict=True)
            if other is not None
        ]
        found[name] = asdict(_together(parts))
    return found


def _together(parts: Sequence[Agreement]) -> Agreement:
    # numpy's maximum hands on a NaN wherever it stands; Python's max does not.
    worst = float(np.max([part.score_difference for part in parts]))
    return Agreement(
        utterances=sum(part.utterances for part in parts),
        identical=sum(part.identical for part in parts),
        tokens=sum(part.tokens for part in parts),
        agreeing=sum(part.agreeing for part in parts),
        score_difference=worst,
    )


def _row(name: str, pairs: Sequence[_Pair], parity: Mapping[str, Any]) -> dict[str, Any]:
    repetitions = list(zip(*(one.times for one, _ in pairs), strict=True))
    samples = {stage: [_flat(stage, times) for times in repetitions] for stage in STAGES}
    pooled = {stage: [value for run in runs for value in run] for stage, runs in samples.items()}
    totals = [sum(run) for run in samples["total"]]
    audio_s = sum(task.audio_s for _, task in pairs)
    generated = sum(_generated(one, task) for one, task in pairs)
    rates = [generated / sum(one.decoding_s for one in times) for times in repetitions]
    last, _ = pairs[-1]
    return {
        "case": pairs[0][0].case,
        "task": name,
        "remark": "; ".join(dict.fromkeys(one.answer.remark for one, _ in pairs if one.answer.remark)),
        "steady": all(one.steady for one, _ in pairs),
        "tokens": [list(tokens) for one, _ in pairs for tokens in one.answer.tokens],
        "scores": [score for one, _ in pairs for score in one.answer.scores],
        "parity": dict(parity),
        "samples_s": samples if repetitions else {},
        "first_step_tokens": repetitions[0][0].first_step_tokens if repetitions else None,
        "summary": {stage: asdict(summarise(values)) for stage, values in pooled.items() if values},
        "repetition_spread": {
            stage: summarise([sum(run) for run in samples[stage]]).spread for stage in _WATCHED if repetitions
        },
        "tokens_per_s": asdict(summarise(rates)) if repetitions else None,
        "real_time_factor": asdict(summarise([total / audio_s for total in totals])) if repetitions else None,
        "memory": None if last.memory is None else {**last.memory, "utterances": last.utterances},
    }


def _has_text(one: Measurement | None) -> bool:
    """Whether its tokens are an answer that can be compared."""
    return one is not None and bool(one.answer.tokens)


def _generated(one: Measurement, task: Task) -> int:
    """Tokens of all its utterances; of a recording without text, as many as it took steps for."""
    if one.answer.tokens:
        return sum(map(task.generated, one.answer.tokens))
    if task.exact:
        return len(task.audio) * task.tokens
    return len(task.audio) * max(
        (times.first_step_tokens + len(times.steps_s) for times in one.times), default=1
    )


def _flat(stage: str, times: Sequence[StageTimes]) -> list[float]:
    return [value for one in times for value in one.samples(stage)]
