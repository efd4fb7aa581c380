"""Weights in memory: nothing that becomes of the files afterwards changes a result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from support.digits.made import RECORDINGS

import s2t_runtime
from s2t_runtime.errors import OptionError, SessionError
from s2t_runtime.sessions.onnxruntime.linked_weights import read_weights

RECORDING = RECORDINGS / "several_digits_427.wav"
takes_bytes = pytest.mark.skipif(
    not hasattr(ort.SessionOptions, "add_external_initializers_from_files_in_memory"),
    reason="onnxruntime takes weights from memory from 1.24 on, and older ones are refused (below)",
)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\0" * size)


def cut_off(path: Path) -> None:
    os.truncate(path, 0)


@pytest.fixture
def copy(digits_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))


def mapped_files(root: Path) -> set[str]:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return {line.split()[-1] for line in maps if str(root) in line}


@takes_bytes
@pytest.mark.parametrize("damage", [overwrite, cut_off])
def test_results_stay_as_they_are(copy: Path, damage: Any) -> None:
    with s2t_runtime.load(copy, threads=1, weights="memory") as model:
        assert mapped_files(copy) == set()
        before = model.generate(RECORDING)
        for path in copy.rglob("*"):
            if path.is_file():
                damage(path)
        after = model.generate(RECORDING)
    assert before.text == "quatre-cents vint-i-set"
    assert after.hypotheses == before.hypotheses


def test_mapped_weights_are_what_changes(copy: Path) -> None:
    """What the other way is for: else the test above would prove nothing."""
    with s2t_runtime.load(copy, threads=1) as model:
        assert mapped_files(copy) == {f"{copy}/fp32/{name}.onnx.data" for name in ("encoder", "decoder")}
        before = model.generate(RECORDING)
        for path in copy.rglob("*.data"):
            overwrite(path)
        assert model.generate(RECORDING).text != before.text


@takes_bytes
def test_behind_links_nothing_is_mapped_either(copy: Path, tmp_path: Path) -> None:
    for path in list(copy.rglob("*.data")):
        store = tmp_path / f"store-{path.name}"
        path.rename(store)
        path.symlink_to(store)
    with s2t_runtime.load(copy, threads=1, weights="memory") as model:
        assert mapped_files(tmp_path) == set()
        assert model.generate(RECORDING).text == "quatre-cents vint-i-set"


def test_the_value_must_be_known(copy: Path) -> None:
    with pytest.raises(OptionError, match=r'^weights is \'disk\', wanted "mapped" or "memory"$'):
        s2t_runtime.load(copy, weights="disk")  # type: ignore[arg-type]


def test_an_older_onnxruntime_is_told() -> None:
    message = (
        r"^weights='memory' needs onnxruntime 1\.24 or newer, this is 1\.23\.0: install a newer one, or load with "
        r"weights='mapped'$"
    )
    with pytest.raises(SessionError, match=message), read_weights(object(), [], "1.23.0"):
        pass


@takes_bytes
def test_the_command_has_it(copy: Path) -> None:
    code = "import sys; from s2t_runtime.commands.run import main; main(sys.argv[1:])"
    run = subprocess.run(
        [sys.executable, "-c", code, str(copy), str(RECORDING), "--weights", "memory"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0
    assert ": quatre-cents vint-i-set  (" in run.stdout
