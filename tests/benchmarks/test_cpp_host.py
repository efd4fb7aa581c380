from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.places import ROOT

from benchmarks import cpp_host
from benchmarks.cpp_host import Turn, main, report

RECORDING = ROOT / "examples" / "digits" / "recordings" / "one_digit_7.wav"


def test_report_compares_medians() -> None:
    turns = [Turn(0.010, 0.005, 1e-5), Turn(0.020, 0.015, 2e-5), Turn(0.040, 0.018, 3e-5)]
    lines = report(turns).splitlines()
    assert lines[1].split() == ["python", "10.00", "20.00", "40.00"]
    assert lines[2].split() == ["c++", "5.00", "15.00", "18.00"]
    assert lines[3] == "c++ / python 0.750; c++ outside ONNX Runtime 0.0200 ms a step"


def _stand_in(path: Path, tokens: list[int]) -> Path:
    """A program that answers as s2t-bench does."""
    record = {"total_s": 0.01, "own_s_a_step": 1e-5, "tokens": tokens}
    answer = json.dumps(json.dumps(record))
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfor _ in sys.stdin: print({answer}, flush=True)\n", encoding="utf-8"
    )
    path.chmod(0o755)
    return path


def _silent(path: Path) -> Path:
    path.write_text("#!/bin/sh\nexec true\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _run(bundle: Path, program: Path, *more: str) -> tuple[int, str]:
    arguments = [str(bundle), str(RECORDING), "--program", str(program), "--repeats", "2", "--num-beams", "2"]
    result = CliRunner().invoke(main, [*arguments, *more])
    return result.exit_code, result.output


def test_both_hosts_take_turns(digits_bundle: Path, tmp_path: Path) -> None:
    import s2t_runtime

    with s2t_runtime.load(digits_bundle, threads=1) as model:
        tokens = list(model.generate(RECORDING, num_beams=2).tokens)
    code, output = _run(digits_bundle, _stand_in(tmp_path / "s2t-bench", tokens))
    assert code == 0, output
    assert output.startswith("one_digit_7.wav, 2 beams, fp32, 1 threads, 2 turns\n")
    assert len(output.splitlines()) == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "does not exist, wanted the program that make cpp builds; run make cpp"),
        (lambda path: _stand_in(path, [1, 2]), "C++ [1, 2]; correct that first"),
        (_silent, "s2t-bench ended without an answer; its own message stands above"),
    ],
    ids=["missing", "other tokens", "silent"],
)
def test_what_cannot_be_compared_is_said(
    digits_bundle: Path, tmp_path: Path, make: object, message: str
) -> None:
    assert callable(make)
    code, output = _run(digits_bundle, make(tmp_path / "s2t-bench"))
    assert code == 1
    assert message in output


def test_an_exact_number_of_tokens(digits_bundle: Path, tmp_path: Path) -> None:
    import s2t_runtime

    with s2t_runtime.load(digits_bundle, threads=1) as model:
        result = model.generate(RECORDING, num_beams=2, min_new_tokens=30, max_new_tokens=30)
    assert len(result.tokens) == 31
    program = _stand_in(tmp_path / "s2t-bench", list(result.tokens))
    code, output = _run(
        digits_bundle, program, "--new-tokens", "30", "--precision", "fp32", "--precision", "fp32"
    )
    assert code == 0, output
    assert output.count("c++ / python") == 2


def test_a_geometry_is_exported_with_every_precision_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(cpp_host.subprocess, "run", run)
    config, bundle = tmp_path / "config", tmp_path / "bundle"
    cpp_host.export_geometry(config, bundle, ("fp32", "int8"))
    cpp_host.export_geometry(config, bundle, ())
    wanted = ["--random-weights", str(config), "-o", str(bundle), "--no-check", "--budget", "0.5"]
    assert [command[3:] for command in asked] == [[*wanted, "--precision", "fp32,int8"], wanted]


def test_a_geometry_that_cannot_be_exported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    code, output = _run(tmp_path / "bundle", tmp_path, "--random-weights", str(tmp_path))
    assert code == 1
    assert (
        f"{tmp_path} could not be exported to {tmp_path / 'bundle'}; its own message stands above" in output
    )
    assert "error: " in capfd.readouterr().err
