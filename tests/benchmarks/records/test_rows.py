"""Rows: tasks that count together, and quality beside speed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from support.records.latency_records import (
    CASES,
    EAGER,
    HALVES,
    PLAIN,
    RECORDINGS,
    REMARK,
    SMALL,
    TASKS,
    latency_record,
)

from benchmarks.measuring.interleaved import Measurement
from benchmarks.peers.protocol import Answer, StageTimes, Task
from benchmarks.records.rows import rows_of, workloads_of


def times(total_s: float, steps: int) -> StageTimes:
    later = (0.01,) * steps
    return StageTimes(0.0, total_s - 0.02 - sum(later), 0.02, later, 0.0, 0.0, total_s)


def spoken(case: str, task: Task, generated: int, totals: tuple[float, ...], score: float) -> Measurement:
    answer = Answer(((0, *range(10, 10 + generated)),), (score,))
    return Measurement(
        case, task.name, answer, tuple(times(one, generated - 1) for one in totals), steady=True
    )


def test_recordings_count_together() -> None:
    first, second = RECORDINGS
    measured = [
        spoken("A", first, 3, (0.3, 0.5), -0.1),
        spoken("A", second, 5, (1.0, 1.2), -0.2),
        spoken("B", first, 3, (0.3, 0.3), -0.4),
        spoken("B", second, 4, (1.0, 1.0), -0.1),
    ]
    ours, other = rows_of(measured, RECORDINGS, ("A",))
    assert (ours["case"], ours["task"]) == ("A", "2 recordings, 5 beams")
    assert ours["samples_s"]["total"] == [[0.3, 1.0], [0.5, 1.2]]
    assert [len(run) for run in ours["samples_s"]["step"]] == [6, 6]
    assert ours["summary"]["total"]["median"] == pytest.approx(np.median([0.3, 1.0, 0.5, 1.2]))
    audio_s = first.audio_s + second.audio_s
    assert ours["real_time_factor"]["median"] == pytest.approx(np.median([1.3 / audio_s, 1.7 / audio_s]))
    assert ours["tokens_per_s"]["median"] == pytest.approx(8 / (2 * 0.02 + 6 * 0.01))
    # Between repetitions, not between recordings of different length.
    assert ours["repetition_spread"]["total"] == pytest.approx(0.2 / 1.5)
    assert ours["parity"] == {}
    # The second recording's answer is shorter than the reference's by one token.
    assert other["parity"]["A"] == {
        "utterances": 2, "identical": 1, "tokens": 8, "agreeing": 7, "score_difference": pytest.approx(0.3)
    }  # fmt: skip


def test_a_score_that_is_no_number_shows_wherever_it_stands() -> None:
    for scores in ((float("nan"), -0.5), (-0.5, float("nan"))):
        measured = [
            *(spoken("A", task, 3, (0.3,), -0.1) for task in RECORDINGS),
            *(spoken("B", task, 3, (0.3,), score) for task, score in zip(RECORDINGS, scores, strict=True)),
        ]
        found = rows_of(measured, RECORDINGS, ("A",))[1]["parity"]["A"]["score_difference"]
        assert math.isnan(found)


def test_an_unsteady_recording_makes_the_row_unsteady() -> None:
    steady = spoken("A", RECORDINGS[0], 3, (0.3,), -0.1)
    drifting = dataclasses.replace(spoken("A", RECORDINGS[1], 3, (0.3,), -0.1), steady=False)
    assert rows_of([steady, drifting], RECORDINGS, ())[0]["steady"] is False


def test_a_case_that_lacks_a_recording_has_no_row() -> None:
    assert rows_of([spoken("A", RECORDINGS[0], 3, (0.3,), -0.1)], RECORDINGS, ()) == []


def test_workloads_are_described() -> None:
    batch = Task("2 s, batch 4, 5 beams", ("a", "b", "c", "d"), 8.0, 5, 12)
    one, many = workloads_of([batch, *RECORDINGS])
    assert one == {
        "name": batch.name, "tasks": [batch.name], "audio_s": 8.0, "utterances": 4, "batch": 4, "beams": 5,
        "tokens": 12, "exact": True,
    }  # fmt: skip
    assert many == {
        "name": "2 recordings, 5 beams", "tasks": [task.name for task in RECORDINGS], "audio_s": 5.5,
        "utterances": 2, "batch": 1, "beams": 5, "tokens": 12, "exact": False,
    }  # fmt: skip


def test_a_record_has_a_row_for_every_case_with_every_workload() -> None:
    record = latency_record(tasks=(*TASKS, *RECORDINGS), repetitions=2)
    names = [one["name"] for one in record["workloads"]]
    assert names == [*(task.name for task in TASKS), "2 recordings, 5 beams"]
    assert [(row["task"], row["case"]) for row in record["rows"]] == [
        (name, case.name) for name in names for case in CASES
    ]
    for row in record["rows"]:
        assert set(row["parity"]) == (set() if row["case"] == EAGER.name else {EAGER.name})
    found = {row["case"]: row["parity"][EAGER.name] for row in record["rows"] if row["parity"]}
    assert found[PLAIN.name]["agreeing"] == found[PLAIN.name]["tokens"] == 24
    assert (found[SMALL.name]["agreeing"], found[SMALL.name]["identical"]) == (22, 0)


def test_what_has_no_text_is_compared_with_nothing_and_says_why() -> None:
    record = latency_record(cases=(EAGER, HALVES), tasks=TASKS[:1], repetitions=2)
    halves = record["rows"][1]
    assert (halves["tokens"], halves["parity"], halves["remark"]) == ([], {}, REMARK)
    # Two tokens in the first step and one in each of ten later ones.
    assert halves["first_step_tokens"] == 2
    assert len(halves["samples_s"]["step"][0]) == 10
    rates = [12 / sum(row) for row in _decoding(halves)]
    assert halves["tokens_per_s"]["median"] == pytest.approx(np.median(rates))
    assert record["rows"][0]["remark"] == ""


def test_a_recording_without_text_has_as_many_tokens_as_steps_gave() -> None:
    record = latency_record(cases=(EAGER, HALVES), tasks=RECORDINGS, repetitions=2)
    halves = record["rows"][1]
    rates = [2 * 12 / sum(row) for row in _decoding(halves)]
    assert halves["tokens_per_s"]["median"] == pytest.approx(np.median(rates))


def _decoding(row: dict[str, Any]) -> list[list[float]]:
    """First step, later steps and search of each repetition."""
    parts = [row["samples_s"][stage] for stage in ("first_step", "step", "search")]
    return [[value for run in runs for value in run] for runs in zip(*parts, strict=True)]


def test_memory_is_that_at_the_end_of_the_workload() -> None:
    record = latency_record(cases=(PLAIN,), tasks=(TASKS[0], *RECORDINGS), repetitions=2)
    # One warm-up and one answer of three tasks, and two of each until then.
    assert [row["memory"]["utterances"] for row in record["rows"]] == [8, 12]
    assert record["rows"][0]["memory"]["RssAnon"] == 100 << 20
