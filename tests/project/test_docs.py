"""The documents name what the code has, and their links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from support.places import ROOT

from s2t_runtime.bundles import engine_record, manifest

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])
ENGINE_RECORDS = [
    engine_record.EngineRecord,
    engine_record.Profile,
    engine_record.AxisRange,
    engine_record.BoundTensor,
]
RECORDS = [
    manifest.Manifest,
    manifest.ModelInfo,
    manifest.AudioInfo,
    manifest.PrecisionInfo,
    manifest.PrecisionPolicy,
    manifest.BlockPrecision,
    manifest.PrecisionErrors,
    manifest.GraphInfo,
    manifest.TensorInfo,
    manifest.FileInfo,
    manifest.DecoderInfo,
    manifest.OutputVocabularyInfo,
    manifest.Detokenizer,
    manifest.JoiningStep,
    *ENGINE_RECORDS,
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_bundle_md_names_every_field_of_manifest_and_records(record: type) -> None:
    text = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
    missing = [field.name for field in dataclasses.fields(record) if f"`{field.name}`" not in text]
    assert missing == []


def test_every_record_of_the_manifest_is_looked_at() -> None:
    declared = [
        value
        for value in vars(manifest).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value is not manifest.OneOf
    ]
    assert set(declared) == set(RECORDS) - set(ENGINE_RECORDS)


def test_architecture_md_names_every_tensor() -> None:
    graphs = pytest.importorskip("graphs")
    geometry = graphs.DecoderGeometry(layers=1, heads=2, head_dim=3, vocab_size=4, max_positions=5)
    signatures = [
        graphs.encoder_signature(geometry, 6),
        graphs.first_step_signature(geometry),
        graphs.with_past_signature(geometry),
    ]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {
        spec.name.replace(".0", ".N")
        for signature in signatures
        for spec in (*signature.inputs, *signature.outputs)
    }
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file, _, heading = target.partition("#")
        linked = document.parent / file if file else document
        assert linked.exists(), f"{document.name} links to {target}"
        if heading:
            assert heading in headings(linked), f"{document.name} links to {target}"


def headings(document: Path) -> set[str]:
    """The anchors that a renderer makes of a document's headings."""
    lines = re.findall(r"^#+ +(.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}
