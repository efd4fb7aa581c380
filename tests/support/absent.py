"""Which test files cannot be imported here, because a package is not installed that they, or their helpers, import.

The runtime is tested without torch too, and with the lowest versions that it takes: tests of everything else stay out.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

from support.places import ROOT

_TESTS = ROOT / "tests"
OPTIONAL = (
    "ctranslate2",
    "huggingface_hub",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "optimum",
    "polygraphy",
    "safetensors",
    "sentencepiece",
    "torch",
    "transformers",
)


@functools.cache
def what_is_absent() -> tuple[str, ...]:
    """Of what the runtime does not need."""
    return tuple(name for name in OPTIONAL if importlib.util.find_spec(name) is None)


def needs_absent(path: Path) -> bool:
    """Whether a test file imports, at its top, what is not installed."""
    absent = set(what_is_absent())
    return bool(absent) and not absent.isdisjoint(_needs(path))


@functools.cache
def _needs(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            found.add(name.partition(".")[0])
            source = _source(name)
            if source is not None:
                found |= _needs(source)
    return frozenset(found)


def _source(name: str) -> Path | None:
    """The file of a module of ours; a room's own file imports nothing that matters, but a package's may."""
    for root in (_TESTS, ROOT):
        path = root.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    spec = importlib.util.find_spec(name.partition(".")[0]) if name.partition(".")[0] in _OURS else None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
    return file if file.is_file() else None


_OURS = ("graphs", "exporter", "s2t_runtime", "benchmarks")
