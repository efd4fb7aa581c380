"""Which test files a run of the runtime alone leaves out: those that import, or whose helpers do, what is not there.

Only such a run (S2T_MADE is set: what needs torch was made before) leaves anything out; elsewhere a missing package
is an error, as it should be.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

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
_OURS = ("support", "graphs", "exporter", "s2t_runtime", "benchmarks")


@functools.cache
def what_is_absent() -> tuple[str, ...]:
    """Of what the runtime does not need."""
    return tuple(name for name in OPTIONAL if importlib.util.find_spec(name) is None)


def needs_absent(path: Path) -> bool:
    """Whether a test file imports, at its top, what is not installed."""
    return not _needs(path).isdisjoint(what_is_absent())


@functools.cache
def _needs(path: Path) -> frozenset[str]:
    """The packages that a file imports at its top, by itself or through modules of ours."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            package = name.partition(".")[0]
            found.add(package)
            source = _source(name) if package in _OURS else None
            found |= _needs(source) if source is not None else set()
    return frozenset(found)


@functools.cache
def _source(name: str) -> Path | None:
    """The file of a module of ours, wherever it is imported from; nothing is imported."""
    package, *inner = name.split(".")
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place, *inner)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None
