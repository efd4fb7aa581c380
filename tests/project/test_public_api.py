"""The public names of both packages: what ``__all__`` says, and no more."""

from __future__ import annotations

import importlib
import types

import pytest

RUNTIME = {
    "AudioError",
    "BundleError",
    "ClosedError",
    "GenerationOptions",
    "Hypothesis",
    "OptionError",
    "PickleError",
    "Result",
    "S2TError",
    "SessionError",
    "SpeechToText",
    "TokenEvent",
    "load",
}


def public_names(module: types.ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }


def test_the_runtimes_names_are_these() -> None:
    assert set(importlib.import_module("s2t_runtime").__all__) == RUNTIME


@pytest.mark.parametrize("name", ["s2t_runtime", "exporter"])
def test_all_names_every_public_object(name: str) -> None:
    module = importlib.import_module(name)
    offered = {public: getattr(module, public) for public in module.__all__}  # some may be made on demand
    assert list(module.__all__) == sorted(module.__all__)
    assert public_names(module) - {"TYPE_CHECKING", "Any"} <= set(offered)
    undocumented = [public for public, value in offered.items() if callable(value) and not value.__doc__]
    assert undocumented == []


def test_the_exporter_exports() -> None:
    exporter = importlib.import_module("exporter")
    assert {"ExportOptions", "export_checkpoint"} <= set(exporter.__all__)
