"""Two bundles of one checkpoint as one of both precisions, so that no precision is exported twice in a run."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from exporter.bundle_writer import describe_files, write_manifest
from exporter.parity_report import render_markdown
from s2t_runtime.bundle import open_bundle


def join_bundles(first: Path, second: Path, target: Path) -> None:
    """Write ``first`` with the precisions of ``second`` added; its default precision stays."""
    whole, added = open_bundle(first).manifest, open_bundle(second).manifest
    shutil.copytree(first, target)
    for precision in added.graphs:
        shutil.copytree(second / precision, target / precision)
    reports = [
        report
        for bundle in (first, second)
        for report in json.loads((bundle / "parity.json").read_text(encoding="utf-8"))
    ]
    (target / "parity.json").write_text(json.dumps(reports, indent=2), encoding="utf-8")
    (target / "parity.md").write_text(render_markdown(reports), encoding="utf-8")
    graphs = {**whole.graphs, **added.graphs}
    manifest = dataclasses.replace(whole, graphs=graphs, files=describe_files(target))
    write_manifest(manifest, target)
