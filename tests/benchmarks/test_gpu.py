"""``python -m benchmarks.gpu``: parsing, refusals, and the whole way from cases to table, on the CPU."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import bandwidth_floor, gpu, gpu_problems
from benchmarks.bandwidth_floor import Bandwidth
from benchmarks.busy import Load
from benchmarks.environment import describe_environment
from benchmarks.errors import BenchmarkError, PeerError
from benchmarks.gpu import GpuRequest, main, measured_record, with_device_memory, with_measured_floor, written
from benchmarks.gpu_cases import Choice
from benchmarks.gpu_device import GpuDevice
from benchmarks.peer import Case
from benchmarks.tasks import make_tasks
from s2t_runtime.bundle import open_bundle

NO_GPU = (
    "no NVIDIA driver found: this benchmark measures on a GPU alone; on a CPU use python -m benchmarks.full_size "
    "CONFIG_DIRECTORY"
)


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
    return measured_record(
        GpuRequest(digits_bundle, warmups=1, repetitions=3),
        Choice(cases, ("A",), {"tensorrt fp16": "there is no TensorRT"}),
        tasks,
        environment=describe_environment(bundle),
        load=Load(0.1, 2),
        device_used=lambda: next(used),
    )


def test_cases_are_measured_and_compared(record: dict[str, Any]) -> None:
    assert [(row["case"], row["task"]) for row in record["rows"]] == [
        ("A", "1 s, 1 beam"), ("B", "1 s, 1 beam"), ("A", "1 s, 2 beams"), ("B", "1 s, 2 beams")
    ]  # fmt: skip
    for row in record["rows"]:
        assert row["steady"]
        assert row["summary"]["total"]["count"] == 3
        assert row["summary"]["step"]["count"] == 3 * 4
        if row["case"] == "B":
            assert row["parity"]["A"] == {
                "utterances": 1, "identical": 1, "tokens": 5, "agreeing": 5, "score_difference": 0.0
            }  # fmt: skip
    assert {one["device_bytes"] for one in record["footprints"].values()} == {7 << 20}
    assert all(one["host"]["VmHWM"] > 20e6 for one in record["footprints"].values())


def test_what_is_not_measured_has_its_reason(record: dict[str, Any]) -> None:
    assert record["left_out"]["tensorrt fp16"] == "there is no TensorRT"
    assert record["left_out"]["nothing"].startswith("provider 'tpu' is unknown; known: cpu, cuda,")


def test_record_and_table_are_written(
    record: dict[str, Any], digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Bandwidth(1e10, "for the test")
    monkeypatch.setattr(bandwidth_floor, "measured_bandwidth", lambda _: found)
    bundle = open_bundle(digits_bundle)
    table = written(with_measured_floor(record, bundle, "cuda"), tmp_path)
    assert (tmp_path / "gpu.md").read_text(encoding="utf-8") == table
    read = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert read["floor"]["step_s"]["fp32"] == pytest.approx(bandwidth_floor.step_bytes(bundle, "fp32") / 1e10)
    assert re.search(r"^\| B \| [\d.]+ \| [\d.]+ \|.*\| 7 \| 5/5 \| 0\.0e\+00 \|$", table, re.MULTILINE)
    assert "- nothing: provider 'tpu' is unknown" in table


def test_without_bandwidth_there_is_no_floor_but_a_reason(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: str) -> Bandwidth:
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
        gpu.make_directory(path)
    message = rf"^results cannot be written to {re.escape(str(path))} \(.+\): give -o another directory$"
    with pytest.raises(BenchmarkError, match=message):
        written({}, path)


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
        "import sys; from benchmarks.gpu import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
