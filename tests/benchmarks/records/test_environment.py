"""What the record says of the machine, the versions and the bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import environment
from benchmarks.records.environment import describe_environment, frequency_governor, gpu_state
from s2t_runtime.bundles.bundle import open_bundle


def test_all_that_is_asked_for_is_there(digits_bundle: Path) -> None:
    found = describe_environment(open_bundle(digits_bundle), threads=2)
    assert json.loads(json.dumps(found))["machine"]["cpu"] == found["machine"]["cpu"]
    assert {"cpu", "memory_bytes", "gpus", "cuda", "frequency_governor", "gpu_state"} <= set(found["machine"])
    assert {"torch", "transformers", "onnxruntime", "onnxruntime-gpu", "python"} <= set(found["versions"])
    assert set(found["tensorrt"]) == {"tensorrt", "tensorrt-rtx"}
    assert found["threads"]["asked"] == 2
    assert found["machine"]["threads"]["count"] >= 1
    assert found["spin"] == "briefly"
    for asked in (True, False):
        assert describe_environment(open_bundle(digits_bundle), spin=asked)["spin"] is asked
    text = (digits_bundle / "manifest.json").read_bytes()
    assert found["bundle"]["sha256"] == hashlib.sha256(text).hexdigest()
    assert found["bundle"]["precisions"] == ["fp32"]
    assert found["bundle"]["written_tokens"] == found["bundle"]["vocabulary"]
    assert found["machine"]["gpu_state"] is None


def test_the_governor_is_read_or_unknown(tmp_path: Path) -> None:
    (tmp_path / "governor").write_text("performance\n", encoding="ascii")
    assert frequency_governor(tmp_path / "governor") == "performance"
    assert frequency_governor(tmp_path / "none") is None


def said(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    def run(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        if answer is None:
            raise FileNotFoundError
        return subprocess.CompletedProcess((), 0, answer, "")

    monkeypatch.setattr(environment.subprocess, "run", run)


def test_the_gpus_state(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, "P0, 1980 MHz, 1980 MHz, 2619 MHz, 700.00 W, Enabled, Disabled\n")
    assert gpu_state("0000:3B:00.0") == {
        "pstate": "P0", "clocks.sm": "1980 MHz", "clocks.max.sm": "1980 MHz", "clocks.mem": "2619 MHz",
        "power.limit": "700.00 W", "ecc.mode.current": "Enabled", "mig.mode.current": "Disabled",
    }  # fmt: skip
    said(monkeypatch, "something else\n")
    assert gpu_state("0000:3B:00.0") is None


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_a_checkout_that_has_this_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "lib" / "benchmarks" / "environment.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("", encoding="ascii")
    (tmp_path / "theirs.py").write_text("", encoding="ascii")
    monkeypatch.setattr(environment, "_OWN_FILE", installed)
    monkeypatch.setattr(environment, "_ROOT", installed.parents[1])
    assert environment.commit() is None  # no checkout at all

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        command = ("git", "-C", str(tmp_path), *who, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    git("add", "theirs.py")
    git("commit", "--quiet", "-m", "theirs")
    assert environment.commit() is None  # another project's checkout, around the environment
    git("add", "--force", str(installed))
    git("commit", "--quiet", "-m", "ours")
    assert environment.commit() == git("rev-parse", "HEAD")
    installed.write_text("# changed\n", encoding="ascii")
    assert environment.commit() == f"{git('rev-parse', 'HEAD')}-dirty"


def test_no_git_and_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, None)
    assert environment.commit() is None
    assert gpu_state("0000:3B:00.0") is None
