"""Versions other than the tested ones are warned of; parity decides."""

from __future__ import annotations

import pytest
from support.places import ROOT

from exporter import versions
from exporter.versions import TESTED, untested_versions


def install(monkeypatch: pytest.MonkeyPatch, **installed: str | None) -> None:
    """The tested versions, but for these."""
    found = {**{name: f"{version}.0" for name, version in TESTED.items()}, **installed}
    monkeypatch.setattr(versions, "installed_version", found.get)


def test_the_tested_ones_are_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torch="2.13.1+cpu", transformers="5.23")
    assert untested_versions() == []


@pytest.mark.parametrize("installed", ["2.12.1", "2.130.0", "2.14.0.dev1", "3.0", "2"])
def test_another_version_is_warned_of(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    install(monkeypatch, torch=installed)
    assert untested_versions() == [
        f"torch {installed} is installed; export-s2t was tested with 2.13. The parity check decides; if it fails: "
        "pip install 'torch==2.13.*'"
    ]


def test_one_warning_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torch="1.0", onnxruntime="2.0")
    assert [warning.split()[0] for warning in untested_versions()] == ["torch", "onnxruntime"]


def test_what_is_not_installed_is_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxscript=None)
    assert untested_versions() == []


def test_they_are_the_constraints_file_s() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert {name: ".".join(pinned[name].split(".")[:2]) for name in TESTED} == TESTED
