"""Imports run one way, the runtime is light, and each rule bites."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.places import ROOT

OURS = ("benchmarks", "exporter", "graphs", "s2t_runtime")
HEAVY = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "optimum", "huggingface_hub")
# Without a build between: the copies below are not installed.
LINT_IMPORTS = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
RUFF = [str(Path(sys.executable).with_name("ruff")), "check", "--no-cache"]


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(str(node.module).split(".")[0])
    return found


def importers_of(package: str, within: str) -> list[str]:
    files = sorted((ROOT / within).rglob("*.py"))
    return [path.relative_to(ROOT).as_posix() for path in files if package in imported_packages(path)]


def test_no_runtime_module_loads_anything_heavy() -> None:
    code = (
        "import importlib, pkgutil, sys, s2t_runtime\n"
        "found = pkgutil.walk_packages(s2t_runtime.__path__, 's2t_runtime.')\n"
        "names = [module.name for module in found]\n"
        "for name in names: importlib.import_module(name)\n"
        f"print(len(names), [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = len(list((ROOT / "s2t_runtime").rglob("*.py"))) - 1  # less __init__.py itself
    assert done.stdout == f"{modules} []\n"


@pytest.mark.parametrize("package", ["graphs", "s2t_runtime"])
def test_imports_nothing_else_of_ours(package: str) -> None:
    others = {other: importers_of(other, package) for other in OURS if other != package}
    assert others == {other: [] for other in others}


def test_onnxruntime_is_imported_in_one_file_a_side() -> None:
    assert importers_of("onnxruntime", "s2t_runtime") == ["s2t_runtime/sessions/onnxruntime/session.py"]
    assert len(importers_of("onnxruntime", "exporter")) <= 1
    assert importers_of("onnxruntime", "graphs") == []


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt_rtx", "cuda"])
def test_tensorrt_and_cuda_are_imported_in_one_file_a_side(package: str) -> None:
    assert importers_of(package, "s2t_runtime") == ["s2t_runtime/sessions/tensorrt/libraries.py"]
    assert len(importers_of(package, "exporter")) <= 1
    assert importers_of(package, "graphs") == []


def test_import_contracts_hold() -> None:
    done = subprocess.run(LINT_IMPORTS, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The packages and their configuration, to plant bugs in."""
    for package in OURS:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(tree: Path, module: str, statement: str) -> Path:
    """Put an import inside a new function at a module's end: a lazy import counts like any other."""
    path = tree / module
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n\ndef _planted() -> None:\n    {statement}  # noqa: F401, PLC0415\n")
    return path


PLANTED = [
    ("s2t_runtime/audio.py", "import torch", "the runtime is light"),
    ("s2t_runtime/audio.py", "from exporter import options", "imports run one way"),
    ("s2t_runtime/audio.py", "from graphs import signature", "imports run one way"),
    ("graphs/encoder/graph.py", "from s2t_runtime import errors", "imports run one way"),
    ("exporter/options.py", "import benchmarks", "imports run one way"),
    ("graphs/encoder/graph.py", "import onnxruntime", "the graphs know nothing of files or sessions"),
    ("graphs/signature.py", "from graphs.decoder import probe", "rooms of graphs"),
    ("exporter/parity/steps.py", "from exporter.precisions import policy", "rooms of exporter"),
    (
        "exporter/checkpoints/checkpoint.py",
        "from exporter.checkpoints import pair",
        "rooms of exporter.checkpoints",
    ),
    ("exporter/onnx/export.py", "from exporter.onnx import checks", "rooms of exporter.onnx"),
    ("s2t_runtime/text/loading.py", "from s2t_runtime import model", "rooms of s2t_runtime"),
    (
        "s2t_runtime/sessions/protocol.py",
        "from s2t_runtime.sessions import open",
        "rooms of s2t_runtime.sessions",
    ),
    (
        "s2t_runtime/search/rows.py",
        "from s2t_runtime.sessions.engines import session",
        "the search knows a step function, and no session",
    ),
    ("benchmarks/measuring/busy.py", "from benchmarks.records import read", "rooms of benchmarks"),
    ("benchmarks/peers/tasks.py", "from benchmarks.peers.torch import peer", "rooms of benchmarks.peers"),
    ("benchmarks/report/view.py", "from benchmarks.report import page", "rooms of benchmarks.report"),
]


def test_no_contract_is_left_untried() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["name"] for contract in configuration["tool"]["importlinter"]["contracts"]}
    assert {contract for _, _, contract in PLANTED} == contracts


def test_a_new_room_needs_a_place(tree: Path) -> None:
    (tree / "exporter" / "attic.py").write_text("", encoding="utf-8")
    done = subprocess.run(LINT_IMPORTS, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "rooms of exporter BROKEN" in done.stdout


@pytest.mark.parametrize(("module", "statement", "contract"), PLANTED)
def test_each_import_contract_bites(tree: Path, module: str, statement: str, contract: str) -> None:
    plant(tree, module, statement)
    done = subprocess.run(LINT_IMPORTS, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"{contract} BROKEN" in done.stdout


@pytest.mark.parametrize("package", [*HEAVY, "exporter", "graphs", "pickle"])
def test_each_banned_import_of_the_runtime_bites(tree: Path, package: str) -> None:
    path = plant(tree, "s2t_runtime/audio.py", f"import {package}")
    done = subprocess.run(
        [*RUFF, "--select", "TID251", str(path)], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"`{package}` is banned" in done.stdout
