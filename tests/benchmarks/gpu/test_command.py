"""``python -m benchmarks.gpu``: parsing, refusals, and its reports."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.records.latency_records import EAGER, TASKS, latency_record

from benchmarks.errors import BenchmarkError
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import problems as gpu_problems
from benchmarks.gpu.__main__ import GpuRequest, main, reported
from benchmarks.measuring import bandwidth_floor
from benchmarks.measuring.bandwidth_floor import Bandwidth
from benchmarks.peers.protocol import Case
from s2t_runtime.bundles.bundle import open_bundle

PARITY = {"utterances": 1, "identical": 1, "tokens": 12, "agreeing": 12, "score_difference": 0.5}
NO_GPU = "no NVIDIA driver found: this benchmark measures on a GPU alone; on a CPU use bench-s2t"


@pytest.fixture
def record() -> dict[str, Any]:
    """Of eager in two precisions, as benchmarks.gpu chooses them, and the CUDA provider."""
    eager = dataclasses.replace(EAGER, settings={"device": "cuda"})
    half = dataclasses.replace(eager, name="eager fp16", precision="fp16")
    own = Case("onnxruntime cuda fp16", "runtime", {"provider": "cuda"}, "fp16")
    found = latency_record(cases=(eager, half, own), tasks=TASKS[:1], repetitions=2)
    for name in ("floor", "base", "ratios", "parity_basis"):
        found.pop(name, None)
    references = [EAGER.name, half.name]
    for row in found["rows"]:
        row["parity"] = {name: PARITY for name in references if name != row["case"]}
    return {**found, "references": references, "left_out": {"tensorrt fp16": "there is no TensorRT"}}


def test_its_reports_are_those_of_bench_s2t(
    record: dict[str, Any], digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", lambda *_: Bandwidth(1e10, "for the test"))
    said = reported(record, open_bundle(digits_bundle), tmp_path)
    read = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert (read["base"], read["floor"]["device"]) == ("eager fp16", "cuda")
    assert {one["against"] for one in read["ratios"]} >= {"eager fp16", "eager fp32"}
    table = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith("| onnxruntime cuda fp16 | "))
    assert "| 12/12 | 0.50 | 12/12 | 0.50 |" in row
    assert row in said
    assert "| tokens as eager fp32 | score difference | tokens as eager fp16 | score difference |" in table
    assert "- tensorrt fp16: there is no TensorRT" in table
    assert (tmp_path / "gpu.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert said.endswith(f"written: {tmp_path}/gpu.json, {tmp_path}/gpu.md, {tmp_path}/gpu.html\n")


def test_without_eager_on_the_gpu_speed_is_relative_to_the_reference(
    record: dict[str, Any], digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", lambda *_: Bandwidth(1e10, "for the test"))
    del record["footprints"]["eager fp16"]
    record["rows"] = [row for row in record["rows"] if row["case"] != "eager fp16"]
    reported(record, open_bundle(digits_bundle), tmp_path)
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["base"] == EAGER.name


def test_speed_is_relative_to_what_was_measured(
    record: dict[str, Any], digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", lambda *_: Bandwidth(1e10, "for the test"))
    for name in record["references"]:
        del record["footprints"][name]
    record["rows"] = [row for row in record["rows"] if row["case"] not in record["references"]]
    reported(record, open_bundle(digits_bundle), tmp_path)
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["base"] is None


def test_nothing_that_can_be_measured(record: dict[str, Any], digits_bundle: Path, tmp_path: Path) -> None:
    record["left_out"] = {"eager fp16": "out of memory", "tensorrt fp16": "there is no TensorRT"}
    # The reference on the CPU only answers.
    record["rows"] = [{**row, "samples_s": {}} for row in record["rows"] if row["case"] == EAGER.name]
    message = (
        "no case could be measured (eager fp16: out of memory; tensorrt fp16: there is no TensorRT): doctor-s2t says "
        "what this machine can run"
    )
    with pytest.raises(BenchmarkError, match=f"^{re.escape(message)}$"):
        reported(record, open_bundle(digits_bundle), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu_it_refuses_in_one_line(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_problems, "cuda_driver_problem", lambda: "no NVIDIA driver found")
    result = CliRunner().invoke(main, [str(digits_bundle)])
    assert (result.exit_code, result.stderr) == (1, f"benchmarks.gpu: error: {NO_GPU}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--durations", "2,x"], "could not convert string to float: 'x': write numbers above 0"),
        (["--beams", "1,0"], "write numbers above 0, with commas between them"),
        (["--beams", "1.5"], "invalid literal for int() with base 10: '1.5': write numbers above 0"),
        (["--durations", ","], "write numbers above 0, with commas between them"),
        (["--tokens", "0"], "0 is not in the range x>=1"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["bundle", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_what_is_parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[GpuRequest] = []

    def run(request: GpuRequest) -> str:
        asked.append(request)
        return "the table"

    monkeypatch.setattr(gpu, "run", run)
    arguments = [
        "b",
        "--against",
        "c",
        "--durations",
        "2,10",
        "--durations",
        "30",
        "--beams",
        "5",
        "--tokens",
        "7",
    ]
    result = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, "the table\n")
    assert asked == [GpuRequest(Path("b"), ("c",), (2.0, 10.0, 30.0), (5,), 7, output=tmp_path)]
    CliRunner().invoke(main, ["b"])
    assert asked[1] == GpuRequest(Path("b"))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from benchmarks.gpu.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
