"""The ratios of a run: each from its own rows, and none where something is missing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from support.records.latency_records import CASES, EAGER, HALVES, PLAIN, SMALL, TASKS, latency_record

from benchmarks.peers.protocol import Case
from benchmarks.records.ratios import Ratio, ratios

CUDA = Case("onnxruntime cuda fp32", "runtime", {"provider": "cuda"}, "fp32")
ONE, FIVE = TASKS[2:4]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return latency_record(cases=(*CASES, HALVES, CUDA), tasks=(ONE, FIVE), repetitions=6)


@pytest.fixture(scope="module")
def found(record: dict[str, Any]) -> dict[tuple[str, str, str, str], Ratio]:
    return {(one.case, one.task, one.what, one.against): one for one in ratios(record)}


def medians(record: dict[str, Any], case: str, stage: str, task: str = FIVE.name) -> float:
    row = next(row for row in record["rows"] if (row["case"], row["task"]) == (case, task))
    runs = row["samples_s"][stage]
    return float(np.median([np.median(run) if stage == "step" else sum(run) for run in runs]))


@pytest.mark.parametrize(
    ("stage", "what"), [("step", "step"), ("encoder", "encoder"), ("total", "utterance")]
)
def test_speed_is_the_peers_time_over_the_cases(
    record: dict[str, Any], found: dict[tuple[str, str, str, str], Ratio], stage: str, what: str
) -> None:
    one = found[SMALL.name, FIVE.name, what, EAGER.name]
    wanted = medians(record, EAGER.name, stage) / medians(record, SMALL.name, stage)
    assert one.value == pytest.approx(wanted)
    assert one.value == pytest.approx(9, rel=0.2)
    assert one.faster
    assert one.interval is not None
    assert one.interval[0] <= one.value <= one.interval[1]


def test_other_peers_count_in_their_own_precision_alone(
    found: dict[tuple[str, str, str, str], Ratio],
) -> None:
    assert (SMALL.name, FIVE.name, "step", HALVES.name) in found
    assert (PLAIN.name, FIVE.name, "step", HALVES.name) not in found


def test_a_case_on_the_gpu_is_not_compared_with_peers_on_the_cpu(
    found: dict[tuple[str, str, str, str], Ratio],
) -> None:
    assert {key[3] for key in found if key[0] == CUDA.name} == {"fp32 weights", ""}


def test_a_step_over_its_floor(record: dict[str, Any], found: dict[tuple[str, str, str, str], Ratio]) -> None:
    one = found[SMALL.name, FIVE.name, "step", "floor"]
    assert one.value == pytest.approx(medians(record, SMALL.name, "step") / 0.01)  # 0.4 GB at 40 GB/s
    assert not one.faster


def test_memory_is_of_the_rows_end_over_the_weights_in_float32(
    found: dict[tuple[str, str, str, str], Ratio],
) -> None:
    one = found[SMALL.name, FIVE.name, "RssAnon", "fp32 weights"]
    assert (one.value, one.interval) == ((100 << 20) / (4 * 12345), None)


def test_the_cost_of_more_beams(
    record: dict[str, Any], found: dict[tuple[str, str, str, str], Ratio]
) -> None:
    one = found[PLAIN.name, FIVE.name, "step, 5 beams / 1 beam", ""]
    wanted = medians(record, PLAIN.name, "step") / medians(record, PLAIN.name, "step", ONE.name)
    assert one.value == pytest.approx(wanted)
    assert not [key for key in found if key[1] == ONE.name and key[2].startswith("step, ")]


def test_a_peer_is_no_case_of_its_own(found: dict[tuple[str, str, str, str], Ratio]) -> None:
    assert {key[0] for key in found} == {PLAIN.name, SMALL.name, CUDA.name}


def test_without_floor_memory_or_repetitions(record: dict[str, Any]) -> None:
    bare = copy.deepcopy(record)
    del bare["floor"]
    for row in bare["rows"]:
        row["memory"] = None
        row["samples_s"] = {stage: runs[:3] for stage, runs in row["samples_s"].items()}
    made = list(ratios(bare))
    assert {one.against for one in made} == {EAGER.name, HALVES.name, ""}
    assert {one.interval for one in made} == {None}
