"""The child process on small graphs: what TensorRT says reaches the user, and how a process may end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper
from support.graphs.small_graphs import needs_tensorrt_rtx, request, save, save_product

from exporter.engines import process as engine_process
from exporter.engines.process import ask, choose_flavour
from exporter.errors import EngineError

PRODUCT = "encoder.layers.0/node_MatMul_1"


def refused(task: str, message: dict[str, Any], flavour: str = "tensorrt-rtx") -> str:
    with pytest.raises(EngineError) as caught:
        ask(flavour, task, message, what=f"{task} encoder")
    return str(caught.value)


@needs_tensorrt_rtx
class TestTensorRtRtx:
    def test_it_names_its_version_and_targets(self) -> None:
        told = ask("tensorrt-rtx", "describe", {}, what="load it")
        assert told["version"].count(".") == 3
        assert told["targets"][:4] == ["sm75", "sm80", "sm86", "sm89"]
        assert not {"current", "none"} & set(told["targets"])

    def test_a_parser_error_names_node_operator_and_reason(self, tmp_path: Path) -> None:
        node = helper.make_node("NonZero", ["x"], ["y"], name="encoder.layers.0/node_NonZero_7")
        path = save(tmp_path / "a.onnx", [node], output=TensorProto.INT64)
        assert refused("parse", request(path)).startswith(
            "tensorrt-rtx cannot parse fp32/encoder.onnx: node encoder.layers.0/node_NonZero_7, operator NonZero: "
        )

    @pytest.mark.parametrize("content", [None, b"no graph"])
    def test_what_is_no_graph_has_a_reason(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "a.onnx"
        if content is not None:
            path.write_bytes(content)
        told = refused("parse", request(path))
        assert told.startswith("tensorrt-rtx cannot parse fp32/encoder.onnx: ")
        assert ("Failed to parse the ONNX model" if content else "cannot be found") in told

    def test_a_builder_error_is_told_in_full(self, tmp_path: Path) -> None:
        path = save_product(tmp_path / "a.onnx", PRODUCT, "float32")
        told = refused("build", request(path, profiles=[{"x": [[1, 4], [1, 4], [2, 5]]}]))
        assert told.startswith("tensorrt-rtx cannot build encoder: ")
        assert "Dimension mismatch for tensor x and profile 0" in told
        assert not path.with_suffix(".plan").exists()

    def test_a_plan_that_is_none_is_told_with_its_reason(self, tmp_path: Path) -> None:
        # Turing has no float32 product in TensorRT-RTX: build_serialized_network gives None.
        path = save_product(tmp_path / "a.onnx", PRODUCT, "float32")
        told = refused("build", request(path, targets=["sm75"]))
        assert told.startswith("tensorrt-rtx cannot build encoder: ")
        assert f"Cannot compile operation '{PRODUCT}'" in told

    def test_a_target_that_it_has_not(self, tmp_path: Path) -> None:
        path = save_product(tmp_path / "a.onnx", PRODUCT, "float32")
        told = refused("build", request(path, targets=["sm90"]))
        assert told.startswith(
            "tensorrt-rtx cannot build encoder: Compute capability 9.0 (SM90) not supported"
        )

    def test_a_plan_that_cannot_be_written(self, tmp_path: Path) -> None:
        path = save_product(tmp_path / "a.onnx", PRODUCT, "float32")
        plan = tmp_path / "absent" / "a.plan"
        assert refused("build", request(path, plan_path=str(plan))) == (
            f"{plan} cannot be written: No such file or directory"
        )

    @pytest.mark.parametrize(
        ("dtype", "blocks", "message"),
        [
            ("float16", {}, None),
            ("float32", {"encoder.layers.0": "why"}, None),
            ("float32", {}, f"outside the blocks that the manifest records (none): {PRODUCT}:"),
            ("float32", {"encoder.layers.1": "why"}, f"records (encoder.layers.1): {PRODUCT}:"),
        ],
    )
    def test_fp16_asked_for(
        self, tmp_path: Path, dtype: str, blocks: dict[str, str], message: str | None
    ) -> None:
        path = save_product(tmp_path / "a.onnx", PRODUCT, dtype)
        asked = request(path, precision="fp16", fp32_blocks=blocks)
        if message is not None:
            assert message in refused("build", asked)
            assert not path.with_suffix(".plan").exists()
            return
        told = ask("tensorrt-rtx", "build", asked, what="build it")
        assert told["census"]["MATRIX_MULTIPLY"] == {{"float16": "HALF", "float32": "FLOAT"}[dtype]: 1}
        assert told["inputs"] == [{"name": "x", "dtype": dtype}]
        assert told["plan_size"] == path.with_suffix(".plan").stat().st_size


# How a process may end.


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the exporter's place, whose child does what a test writes into it."""
    room = tmp_path / "fake" / "exporter" / "engines"
    room.mkdir(parents=True)
    (room.parent / "__init__.py").touch()
    (room / "__init__.py").touch()
    monkeypatch.setattr(engine_process, "_ROOT", room.parent.parent)
    return room / "tensorrt_builder.py"


def test_a_killed_child(child: Path) -> None:
    child.write_text("import os; os.kill(os.getpid(), 9)")
    assert refused("build", {}) == (
        "the process to build encoder was killed, most likely because memory ran out: close other programs, or lower "
        "--max-batch and --max-audio-seconds"
    )


def test_a_crashed_child(child: Path) -> None:
    child.write_text("import os, sys; print('last words', file=sys.stderr, flush=True); os.abort()")
    assert refused("build", {}) == "the process to build encoder was ended by SIGABRT: last words"


def test_a_bug_in_the_child(child: Path) -> None:
    child.write_text("raise ZeroDivisionError('a bug')")
    told = refused("build", {})
    assert told.startswith("the process to build encoder ended with exit code 1: ")
    assert told.endswith("ZeroDivisionError: a bug")


def test_each_flavour_is_set_in_the_childs_environment(child: Path) -> None:
    child.write_text(
        "import json, os; print(json.dumps({'error': os.environ['POLYGRAPHY_USE_TENSORRT_RTX']}))"
    )
    assert (refused("parse", {}, "tensorrt-rtx"), refused("parse", {}, "tensorrt")) == ("1", "0")


def test_a_file_of_the_working_directory_stands_in_for_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exporter.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert "imported" not in refused("parse", request(tmp_path / "absent.onnx"))


# Flavours that are not there.


def test_full_tensorrt_that_is_not_installed() -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("full TensorRT is installed")
    assert refused("describe", {}, "tensorrt") == (
        "tensorrt cannot be loaded (No module named 'tensorrt'): install it again with "
        'pip install --force-reinstall "export-s2t[tensorrt]"'
    )


BROKEN = "raise OSError('libnvinfer.so.11: cannot open shared object file')"
EMPTY = ""
WORKING = """
class Builder:
    def __init__(self, logger):
        logger.log(ILogger.Severity.WARNING, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")


class ILogger:
    class Severity:
        INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)


__version__ = "11.4.0"
"""
"""A stand-in for full TensorRT on a machine without a driver, as NVIDIA's issue 2913 shows it."""
WANTED = (
    "full TensorRT needs an NVIDIA driver and a GPU to build: run compile-s2t on the machine where the engines will "
    "run, or take --flavour tensorrt-rtx, which builds without"
)


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module called tensorrt, to be written."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "tensorrt.py"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BROKEN, "libnvinfer.so.11: cannot open shared object file"),
        (EMPTY, "module 'tensorrt' has no attribute 'Builder'"),
    ],
)
def test_a_broken_installation(full: Path, content: str, reason: str) -> None:
    full.write_text(content)
    assert refused("describe", {}, "tensorrt") == (
        f"tensorrt cannot be loaded ({reason}): install it again with "
        'pip install --force-reinstall "export-s2t[tensorrt]"'
    )


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has an NVIDIA driver")
def test_full_tensorrt_without_a_driver(full: Path) -> None:
    full.write_text(WORKING)
    told = refused("describe", {}, "tensorrt")
    assert told.startswith("no NVIDIA driver was found (libcuda.so.1: ")
    assert told.endswith(WANTED)


def test_full_tensorrt_that_gives_no_builder(full: Path, tmp_path: Path) -> None:
    full.write_text(WORKING)
    assert refused("parse", request(tmp_path / "a.onnx"), "tensorrt") == (
        f"tensorrt gives no builder (CUDA initialization failure with error: 35): {WANTED}"
    )


@pytest.mark.parametrize(
    ("installed", "asked", "gpus", "chosen"),
    [
        ({"tensorrt_rtx", "polygraphy"}, None, (), "tensorrt-rtx"),
        ({"tensorrt", "polygraphy"}, None, (), "tensorrt"),
        ({"tensorrt", "tensorrt_rtx", "polygraphy"}, None, (), "tensorrt-rtx"),
        ({"tensorrt", "tensorrt_rtx", "polygraphy"}, None, ("a GPU",), "tensorrt"),
        ({"tensorrt", "tensorrt_rtx", "polygraphy"}, "tensorrt-rtx", ("a GPU",), "tensorrt-rtx"),
    ],
)
def test_the_flavour_that_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    installed: set[str],
    asked: str | None,
    gpus: tuple[str, ...],
    chosen: str,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    machine = type("Machine", (), {"gpus": gpus})
    monkeypatch.setattr(engine_process, "describe_machine", lambda: machine)
    assert choose_flavour(asked) == chosen


@pytest.mark.parametrize(
    ("installed", "asked", "message"),
    [
        (
            set(),
            None,
            'TensorRT is not installed; run: pip install "export-s2t[tensorrt-rtx]", which builds without a GPU, or '
            'pip install "export-s2t[tensorrt]" where the engines will run',
        ),
        (
            set(),
            "tensorrt-rtx",
            'tensorrt_rtx, polygraphy not installed; run: pip install "export-s2t[tensorrt-rtx]"',
        ),
        ({"polygraphy"}, "tensorrt", 'tensorrt not installed; run: pip install "export-s2t[tensorrt]"'),
        (
            {"tensorrt_rtx"},
            "tensorrt-rtx",
            'polygraphy not installed; run: pip install "export-s2t[tensorrt-rtx]"',
        ),
    ],
)
def test_a_flavour_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], asked: str | None, message: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    with pytest.raises(EngineError) as caught:
        choose_flavour(asked)
    assert str(caught.value) == message


def test_a_child_whose_parent_is_gone_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporter.engines.tensorrt_builder"],
        input=f'{{"parent": {os.getpid() + 1}, "task": "describe", "flavour": "tensorrt-rtx"}}',
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(engine_process._ROOT)},
    )
    assert (done.returncode, done.stdout) == (1, "")
