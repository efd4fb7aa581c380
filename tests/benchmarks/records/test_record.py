"""The record holds raw samples, and what is computed from them; the table is rendered from the file alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.doubles.peers import TASKS, FakePeer, Log, case

from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.measuring.busy import Load
from benchmarks.measuring.interleaved import Repetitions, measure
from benchmarks.peers.protocol import STAGES, Case
from benchmarks.records.record import record_of, with_floor, write_record

EAGER, HALF, CUDA, BROKEN = (
    case("eager fp32"), case("eager fp16", "fp16"), case("onnxruntime cuda fp16", "fp16"), case("broken", "fp16")
)  # fmt: skip
PEERS: dict[str, dict[str, Any]] = {
    "eager fp16": {"step_s": 0.02, "score": -0.501},
    "onnxruntime cuda fp16": {"step_s": 0.005, "score": -0.5005},
    "broken": {"tokens": (0, 7, 1, 1), "score": float("nan")},
}
ENVIRONMENT: dict[str, Any] = {
    "date": "2026-11-24T12:00:00+00:00",
    "machine": {
        "cpu": {"model": "Xeon", "usable_cores": 8},
        "gpus": [{"name": "H100", "memory_mib": 81559, "driver": "580.1", "compute_capability": "9.0"}],
        "cuda": "13.1",
        "gpu_state": {"pstate": "P0", "clocks.sm": "1980 MHz"},
        "frequency_governor": None,
    },
    "versions": {"python": "3.12.1", "torch": "2.13.0", "onnxruntime": None},
    "tensorrt": {"tensorrt": "11.4.0"},
    "threads": {"asked": None, "OMP_NUM_THREADS": "4"},
    "commit": "0123",
    "bundle": {"model": "m", "parameters": 12345, "vocabulary": 99, "sha256": "f" * 64},
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As it is read back from its file."""
    log, cases = Log(), (EAGER, HALF, CUDA, BROKEN)

    def start(one: Case) -> FakePeer:
        log.device += 2**20 * 1000
        return FakePeer(one, log, **PEERS.get(one.name, {}))

    measured = measure(cases, TASKS, Repetitions(1, 4), start=start, device_used=lambda: log.device)
    made = record_of(
        measured,
        cases,
        TASKS,
        repetitions=Repetitions(1, 4),
        references=("eager fp32", "eager fp16"),
        left_out={"tensorrt fp16": "tensorrt is not installed"},
        environment=ENVIRONMENT,
        load=Load(0.1, 8),
    )
    path = tmp_path_factory.mktemp("record") / "gpu.json"
    write_record(with_floor(made, {"fp16": 4_000_000}, Bandwidth(2e9, "copies of 1 GiB")), path)
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def row(record: dict[str, Any], name: str, task: str = "short") -> dict[str, Any]:
    return next(one for one in record["rows"] if (one["case"], one["task"]) == (name, task))


def test_every_sample_is_in_it(record: dict[str, Any]) -> None:
    found = row(record, "eager fp32")
    assert set(found["samples_s"]) == set(STAGES)
    assert found["samples_s"]["step"] == [[0.01, 0.01]] * 4
    assert found["samples_s"]["encoder"] == [[0.1]] * 4
    assert found["summary"]["step"]["count"] == 8
    for stage in STAGES:
        flat = [value for run in found["samples_s"][stage] for value in run]
        assert found["summary"][stage]["p95"] == pytest.approx(float(np.percentile(flat, 95)))


def test_stages_add_up_to_the_total(record: dict[str, Any]) -> None:
    for found in record["rows"]:
        for index in range(4):
            parts = sum(sum(found["samples_s"][stage][index]) for stage in STAGES if stage != "total")
            assert parts == pytest.approx(found["samples_s"]["total"][index][0])


def test_rates(record: dict[str, Any]) -> None:
    found = row(record, "eager fp16")
    # First step, two more and the search.
    assert found["tokens_per_s"]["median"] == pytest.approx(3 / (0.02 + 2 * 0.02 + 0.002))
    assert found["real_time_factor"]["median"] == pytest.approx(found["summary"]["total"]["median"] / 2.0)


def test_parity_is_in_the_same_row(record: dict[str, Any]) -> None:
    assert row(record, "eager fp32")["parity"] == {
        "eager fp16": {
            "utterances": 1, "identical": 1, "tokens": 3, "agreeing": 3, "score_difference": pytest.approx(1e-3)
        }
    }  # fmt: skip
    assert set(row(record, "onnxruntime cuda fp16")["parity"]) == {"eager fp32", "eager fp16"}
    broken = row(record, "broken")["parity"]["eager fp32"]
    assert (broken["identical"], broken["agreeing"], broken["score_difference"]) == (0, 1, None)


def test_the_floor_is_bytes_over_bandwidth(record: dict[str, Any]) -> None:
    assert record["floor"]["step_s"] == {"fp16": pytest.approx(0.002)}


def test_a_case_whose_tokens_change_is_named() -> None:
    import dataclasses

    measured = measure((EAGER,), TASKS[:1], Repetitions(1, 2), start=lambda one: FakePeer(one, Log()))
    drifting = dataclasses.replace(
        measured, measurements=tuple(dataclasses.replace(one, steady=False) for one in measured.measurements)
    )
    made = record_of(
        drifting, (EAGER,), TASKS, repetitions=Repetitions(1, 2), references=(), left_out={}, environment={},
        load=Load(None, 2),
    )  # fmt: skip
    assert made["notes"] == ["not the same tokens in every repetition: eager fp32 (short)"]
