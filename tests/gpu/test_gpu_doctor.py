"""doctor-s2t and the GPU benchmark on a machine that has a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from s2t_runtime.commands.doctor import main as doctor

pytestmark = pytest.mark.gpu


def test_doctor_sees_the_gpu(gpu: str, digits_fp16_bundle: Path) -> None:
    import onnxruntime

    result = CliRunner().invoke(doctor, [str(digits_fp16_bundle), "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    machine = found["machine"]
    assert machine["cuda_problem"] is machine["gpu_problem"] is None
    assert machine["cuda"]
    assert gpu in {f"sm{one['compute_capability'].replace('.', '')}" for one in machine["gpus"]}
    able = {one["name"]: one for one in found["abilities"]}
    provider = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert able["run with CUDA"]["available"] is provider
    if provider:
        assert able["run with CUDA"]["command"] == f"run-s2t {digits_fp16_bundle} AUDIO --provider cuda"


@pytest.mark.usefixtures("cuda_provider", "torch_cuda")
def test_the_benchmark_measures_what_there_is(
    digits_fp16_bundle: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    import shutil

    from benchmarks.gpu.__main__ import main as benchmark

    bundle = shutil.copytree(digits_fp16_bundle, tmp_path / "bundle")  # engines are built in it
    arguments = [str(bundle), "--against", str(digits_checkpoint), "--durations", "1", "--tokens", "6"]
    arguments += ["--warmups", "1", "--repetitions", "2", "-o", str(tmp_path / "results")]
    result = CliRunner().invoke(benchmark, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "results" / "gpu.json").read_text(encoding="utf-8"))
    measured = {row["case"] for row in record["rows"]}
    assert {"eager fp32", "eager fp16", "onnxruntime cuda fp32", "onnxruntime cuda fp16"} <= measured
    assert not measured & set(record["left_out"])
    for row in record["rows"]:
        assert row["steady"], row["case"]
        assert set(row["parity"]) == {"eager fp32", "eager fp16"} - {row["case"]}
        assert record["footprints"][row["case"]]["device_bytes"] > 50 * 2**20  # the context alone is more
    assert record["floor"]["bandwidth"]["bytes_per_s"] > 5e10
    assert {one["against"] for one in record["ratios"]} >= {"eager fp16", "floor"}
    table = (tmp_path / "results" / "gpu.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| onnxruntime cuda fp16 | ")]
    assert rows[0] in result.output
