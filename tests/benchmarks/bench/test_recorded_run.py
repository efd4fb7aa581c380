"""From cases to record and reports, on the CPU: what is measured, what is left out, and what is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench import recorded_run
from benchmarks.bench.recorded_run import (
    make_directory,
    recorded,
    with_device_memory,
    with_measured_floor,
    write_reports,
    written_files,
)
from benchmarks.errors import BenchmarkError, PeerError
from benchmarks.measuring import bandwidth_floor
from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.measuring.busy import Load
from benchmarks.measuring.choice import Choice
from benchmarks.measuring.gpu_device import GpuDevice
from benchmarks.measuring.interleaved import Repetitions
from benchmarks.peers.protocol import Case
from benchmarks.peers.tasks import make_tasks
from benchmarks.records.environment import describe_environment
from s2t_runtime.bundles.bundle import open_bundle


def runtime(name: str, bundle: Path, **settings: Any) -> Case:
    return Case(name, "runtime", {"bundle": str(bundle), "threads": 1, **settings}, "fp32")


@pytest.fixture(scope="module")
def record(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two cases that are the same and one that no machine has, each in its own process."""
    cases = (
        runtime("A", digits_bundle),
        runtime("B", digits_bundle),
        runtime("nothing", digits_bundle, provider="tpu"),
    )
    bundle = open_bundle(digits_bundle)
    tasks = make_tasks(bundle, tmp_path_factory.mktemp("tasks"), (1.0,), (1, 2), 5)
    used = iter(range(0, 100 << 20, 7 << 20))
    return recorded(
        Choice(cases, ("A",), {"tensorrt fp16": "there is no TensorRT"}),
        tasks,
        Repetitions(1, 3),
        environment=describe_environment(bundle),
        load=Load(0.1, 2),
        device_used=lambda: next(used),
        say=lambda _: None,
    )


def test_cases_are_measured_and_compared(record: dict[str, Any]) -> None:
    assert [(row["case"], row["task"]) for row in record["rows"]] == [
        ("A", "1 s, 1 beam"), ("B", "1 s, 1 beam"), ("A", "1 s, 2 beams"), ("B", "1 s, 2 beams")
    ]  # fmt: skip
    for row in record["rows"]:
        assert row["steady"]
        assert row["summary"]["total"]["count"] == 3
        assert row["summary"]["step"]["count"] == 3 * 2  # the first and last of five tokens are forced
        if row["case"] == "B":
            assert row["parity"]["A"] == {
                "utterances": 1, "identical": 1, "tokens": 5, "agreeing": 5, "score_difference": 0.0
            }  # fmt: skip
    assert {one["device_bytes"] for one in record["footprints"].values()} == {7 << 20}
    assert all(one["host"]["VmHWM"] > 20e6 for one in record["footprints"].values())


def test_what_is_not_measured_has_its_reason(record: dict[str, Any]) -> None:
    assert record["left_out"]["tensorrt fp16"] == "there is no TensorRT"
    assert record["left_out"]["nothing"].startswith("provider 'tpu' is unknown; known: cpu, cuda,")


def test_what_others_took_meanwhile_is_in_it(record: dict[str, Any]) -> None:
    # The cases' own processes compute for seconds, and have ended when it is counted.
    assert 0 <= record["others_during"]["programs"] <= 1
    assert 0 <= record["others_during"]["stolen"] <= 1


def test_threads_and_the_first_steps_tokens_are_in_it(record: dict[str, Any]) -> None:
    assert {one["threads"] for one in record["footprints"].values()} == {1}
    assert {row["first_step_tokens"] for row in record["rows"]} == {2}


def test_memory_is_in_the_row(record: dict[str, Any]) -> None:
    # After the one warm-up and the one answer of both tasks, three of the first; then three of the second.
    assert [row["memory"]["utterances"] for row in record["rows"] if row["case"] == "A"] == [7, 10]
    assert all(20e6 < row["memory"]["RssAnon"] < row["memory"]["VmRSS"] for row in record["rows"])


def test_a_case_that_cannot_be_prepared_is_left_out(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Case:
        raise PeerError("ctranslate2 is not installed")

    monkeypatch.setattr(recorded_run, "prepared", fails)
    tasks = make_tasks(open_bundle(digits_bundle), tmp_path, (1.0,), (1,), 5)
    said: list[str] = []
    found = recorded(
        Choice((Case("halves", "ctranslate2", {}, "fp32"),), (), {}),
        tasks,
        Repetitions(1, 1),
        environment={},
        load=Load(None, 2),
        device_used=None,
        say=said.append,
    )
    assert found["left_out"] == {"halves": "ctranslate2 is not installed"}
    assert said[0] == "prepare halves"


def test_record_and_reports_are_written(record: dict[str, Any], tmp_path: Path) -> None:
    read = write_reports({**record, "base": "A"}, tmp_path, "some")
    assert json.loads((tmp_path / "some.json").read_text(encoding="utf-8")) == read
    assert "- nothing: provider 'tpu' is unknown" in (tmp_path / "some.md").read_text(encoding="utf-8")
    assert (tmp_path / "some.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert written_files(Path("a"), "b") == "written: a/b.json, a/b.md, a/b.html\n"


def test_the_floor_is_of_the_precisions_of_the_bundle(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def found(*arguments: object) -> Bandwidth:
        asked.append(arguments)
        return Bandwidth(1e10, "for the test")

    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", found)
    bundle = open_bundle(digits_bundle)
    floor = with_measured_floor({"left_out": {}}, bundle, "cpu", threads=3)["floor"]
    assert asked == [("cpu", 3)]
    assert floor["device"] == "cpu"
    assert floor["step_s"]["fp32"] == pytest.approx(bandwidth_floor.step_bytes(bundle, "fp32") / 1e10)


def test_without_bandwidth_there_is_no_floor_but_a_reason(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Bandwidth:
        raise PeerError("torch was built without CUDA")

    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", fails)
    found = with_measured_floor({"left_out": {"A": "a"}}, open_bundle(digits_bundle), "cuda")
    assert found == {"left_out": {"A": "a", "bandwidth floor": "torch was built without CUDA"}}


def test_device_memory_is_measured_or_said_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: GpuDevice) -> int:
        raise BenchmarkError("nvidia-smi gives no used memory")

    device, choice = GpuDevice("0000:3B:00.0", "sm90"), Choice((), (), {"A": "a"})
    monkeypatch.setattr(GpuDevice, "used_bytes", lambda _: 7)
    same, used = with_device_memory(choice, device)
    assert used is not None
    assert (same, used()) == (choice, 7)
    monkeypatch.setattr(GpuDevice, "used_bytes", fails)
    without, used = with_device_memory(choice, device)
    assert used is None
    assert without.left_out == {"A": "a", "device memory": "nvidia-smi gives no used memory"}


def test_a_directory_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    path = tmp_path / "file" / "results"
    message = rf"^{re.escape(str(path))} cannot be made \(.+\): give -o a directory that can be written$"
    with pytest.raises(BenchmarkError, match=message):
        make_directory(path)
    message = rf"^results cannot be written to {re.escape(str(path))} \(.+\): give -o another directory$"
    with pytest.raises(BenchmarkError, match=message):
        write_reports({}, path, "some")


@pytest.mark.parametrize(("before", "wanted"), [(2e10, 2e10), (0.5e10, 1e10)])
def test_the_better_of_two_bandwidths_counts(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, before: float, wanted: float
) -> None:
    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", lambda *_: Bandwidth(1e10, "after"))
    bundle = open_bundle(digits_bundle)
    record = {"left_out": {}}
    floor = with_measured_floor(record, bundle, "cpu", before=Bandwidth(before, "before"))["floor"]
    assert floor["bandwidth"]["bytes_per_s"] == wanted
    assert floor["bandwidth"]["how"] == ("before" if before > 1e10 else "after")
