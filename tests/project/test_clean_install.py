"""The wheel in a fresh environment with the base dependencies only: decodes, and has no torch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support.packaging.built_wheel import ROOT, build_wheel, install, make_environment

pytestmark = pytest.mark.broad

LARGEST_MIB = 500


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's ``bin``; making it needs a package index."""
    directory = tmp_path_factory.mktemp("clean")
    python = make_environment(directory / "environment")
    install(python, str(build_wheel(directory)), "-c", str(ROOT / "constraints.txt"))
    return python.parent


def run(command: list[str | Path], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)


def test_torch_is_absent(binaries: Path, tmp_path: Path) -> None:
    for name in ("torch", "transformers", "onnx"):
        done = run([binaries / "python", "-c", f"import {name}"], tmp_path)
        assert done.returncode == 1
        assert f"No module named '{name}'" in done.stderr


def test_run_has_its_help(binaries: Path, tmp_path: Path) -> None:
    done = run([binaries / "run-s2t", "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--num-beams" in done.stdout


def test_doctor_says_that_export_needs_its_extra(binaries: Path, tmp_path: Path) -> None:
    done = run([binaries / "doctor-s2t", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    abilities = {ability["name"]: ability for ability in json.loads(done.stdout)["abilities"]}
    assert not abilities["export"]["available"]
    assert abilities["export"]["reason"].endswith('pip install "export-s2t[export]"')
    assert abilities["run on the CPU"]["available"]


@pytest.mark.parametrize("command", ["export-s2t", "check-s2t"])
def test_export_names_the_one_line_to_install(binaries: Path, tmp_path: Path, command: str) -> None:
    done = run([binaries / command, "x", *(["-o", "y"] if command == "export-s2t" else [])], tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'pip install "export-s2t[export]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_decodes_a_recording(binaries: Path, tmp_path: Path, digits_bundle: Path) -> None:
    recording = min((ROOT / "examples" / "digits" / "recordings").glob("*.wav"))
    done = run([binaries / "run-s2t", digits_bundle, recording, "--language", "de", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"]


def test_measures_a_bundle(binaries: Path, tmp_path: Path, digits_bundle: Path) -> None:
    small = ["--durations", "1", "--beams", "2", "--tokens", "4", "--repetitions", "1", "-o", tmp_path]
    done = run([binaries / "bench-s2t", digits_bundle, *small], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "- bandwidth floor: torch, onnx_ir not installed: pip install" in done.stdout
    assert (tmp_path / "latency.html").stat().st_size > 10_000
    against = run([binaries / "bench-s2t", digits_bundle, "--against", "x"], tmp_path)
    assert against.returncode == 1
    assert against.stderr.startswith("bench-s2t: torch, transformers, onnx")


def test_installed_size(binaries: Path) -> None:
    files = [path for path in binaries.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    size_mib = sum(path.stat().st_size for path in files) / 2**20
    print(f"the environment holds {len(files)} files, {size_mib:.0f} MiB")  # noqa: T201 - the figure itself is wanted; pytest -rP shows it
    assert size_mib < LARGEST_MIB
