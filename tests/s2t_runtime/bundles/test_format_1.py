"""Bundles of format 1 stay readable: tests/data/manifest_format_1.json is as version 0.1.0 wrote it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.digits.audio import usual_batches
from support.places import ROOT

import s2t_runtime
from s2t_runtime.bundles.manifest import FORMAT_VERSION, Manifest

WRITTEN = ROOT / "tests" / "data" / "manifest_format_1.json"


def stored() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(WRITTEN.read_text(encoding="utf-8"))
    return document


def assert_holds(got: Any, wanted: Any, path: str) -> None:
    """Every value of the file is in what was read; what was added since has its default."""
    if isinstance(wanted, Mapping):
        known = (
            {field.name: field for field in dataclasses.fields(got)}
            if dataclasses.is_dataclass(got)
            else dict.fromkeys(got)
        )
        for name, value in wanted.items():
            inner = getattr(got, name) if dataclasses.is_dataclass(got) else got[name]
            assert_holds(inner, value, f"{path}.{name}")
        for name in known.keys() - wanted.keys():
            assert getattr(got, name) == known[name].default, f"{path}.{name}"
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), path
        for index, (one, other) in enumerate(zip(got, wanted, strict=True)):
            assert_holds(one, other, f"{path}[{index}]")
    else:
        assert got == wanted, path


def test_it_is_of_format_1() -> None:
    assert stored()["format_version"] == 1 < FORMAT_VERSION


def test_it_is_read_value_by_value() -> None:
    assert_holds(Manifest.from_json(WRITTEN.read_text(encoding="utf-8")), stored(), "manifest")


def test_what_a_later_format_added_has_its_default() -> None:
    read = Manifest.from_json(WRITTEN.read_text(encoding="utf-8"))
    assert read.detokenizer is not None
    assert "steps" not in stored()["detokenizer"]
    assert read.detokenizer.steps == ()
    assert "source" not in read.provenance


def as_format_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """Today's manifest with the fields that format 1 had, as the stored one tells."""

    def only_known(value: Any, known: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(known, dict):
            return value
        return {name: only_known(item, known.get(name)) for name, item in value.items() if name in known}

    old = stored()
    kept = {"files", "generation", "languages", "graphs"}  # mappings by name, not records
    return {
        name: value if name in kept else only_known(value, old[name])
        for name, value in {**manifest, "format_version": 1}.items()
        if name in old
    }


@pytest.mark.parametrize("beams", [1, 3])
def test_a_bundle_of_format_1_decodes_as_ever(digits_bundle: Path, tmp_path: Path, beams: int) -> None:
    old = Path(shutil.copytree(digits_bundle, tmp_path / "old"))
    path = old / "manifest.json"
    document = as_format_1(json.loads(path.read_text(encoding="utf-8")))
    assert "steps" not in document["detokenizer"]
    path.write_text(json.dumps(document), encoding="utf-8")
    waveform = usual_batches()[0].waveforms[0]
    results = []
    for bundle in (digits_bundle, old):
        with s2t_runtime.load(bundle, threads=1) as model:
            found = model.generate(waveform, sampling_rate=16000, num_beams=beams)
            results.append((found.text, found.tokens, found.score))
    assert results[0] == results[1]
    assert results[0][0]
