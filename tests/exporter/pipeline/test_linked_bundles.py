"""What reads a bundle follows its links, and what writes to it changes nothing behind them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.doubles.engine_builder import FakeTensorRt
from support.doubles.hub_server import HubModel, serve
from support.graphs.small_graphs import needs_tensorrt_rtx
from support.link_layouts import LAYOUTS, all_linked, files_of, hard_links, hub_cache, link, one_linked_file
from support.places import ROOT

import s2t_runtime
from exporter.commands.check import CheckRequest, run
from exporter.engines import build as engine_build
from exporter.engines.build import census_of_bundle, compile_bundle
from exporter.engines.options import EngineOptions
from exporter.options import AddOptions
from exporter.pipeline.add_precision import add_precision
from exporter.polygraphy_inputs import InputSizes, graph_inputs
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.bundles.engine_record import ENGINES_DIRECTORY

RECORDING = ROOT / "examples" / "digits" / "recordings" / "one_digit_7.wav"
ENGINES = EngineOptions(flavour="tensorrt-rtx", precision="fp32")


DOWNLOAD = """
import sys
import huggingface_hub
import s2t_runtime
directory = huggingface_hub.snapshot_download("owner/bundle")
with s2t_runtime.load(directory, threads=1) as model:
    print(directory, model.generate(sys.argv[1], language="de").text)
"""


def test_what_the_hub_library_downloads_is_loaded_where_it_lies(digits_bundle: Path, tmp_path: Path) -> None:
    files = {name: (digits_bundle / name).read_bytes() for name in files_of(digits_bundle)}
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with serve() as hub:
        hub.models["owner/bundle"] = HubModel({"main": "1" * 40}, {"1" * 40: files})
        settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", DOWNLOAD, RECORDING],
            env={**kept, **settings, "HF_HUB_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    snapshot = tmp_path / "hub" / "models--owner--bundle" / "snapshots" / ("1" * 40)
    assert done.stdout == f"{snapshot} sieben\n", done.stderr
    assert all((snapshot / name).is_symlink() for name in files)


def contents(directory: Path) -> dict[str, bytes]:
    """Of the files that are no links, whatever links lead to them."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_check_s2t_compares_graphs_behind_links(
    digits_bundle: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    root = all_linked(digits_bundle, tmp_path)
    (report,) = run(CheckRequest(root, (str(digits_checkpoint),), (RECORDING,), (), "cpu"))
    assert report.passed


def test_the_inputs_for_polygraphy_come_through_links(digits_bundle: Path, tmp_path: Path) -> None:
    plain, linked = open_bundle(digits_bundle), open_bundle(one_linked_file(digits_bundle, tmp_path))
    sizes = InputSizes(batch=1, seconds=0.5, beams=1, past=2, new=1, candidates=5)
    fed = [graph_inputs(bundle, "decoder_with_past", "fp32", sizes, 0) for bundle in (plain, linked)]
    assert {name: array.tolist() for name, array in fed[0].items()} == {
        name: array.tolist() for name, array in fed[1].items()
    }


@pytest.mark.parametrize("layout", [hub_cache, hard_links])
def test_a_precision_is_added_beside_the_links(
    digits_bundle: Path, digits_checkpoint: Path, tmp_path: Path, layout: Callable[[Path, Path], Path]
) -> None:
    root = layout(digits_bundle, tmp_path)
    before = {name: data for name, data in contents(tmp_path).items() if not name.endswith("manifest.json")}
    stored = (root / "manifest.json").resolve()
    manifest = stored.read_bytes()
    add_precision(AddOptions(root, "int8", (str(digits_checkpoint),), check=False))
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not (root / "manifest.json").is_symlink()
    if stored != root / "manifest.json":
        assert stored.read_bytes() == manifest
    assert {path.name for path in root.iterdir() if path.name.startswith(".")} == set()
    with s2t_runtime.load(root, precision="int8", threads=1) as model:
        assert model.generate(RECORDING, language="de").text == "sieben"


def test_engines_are_written_beside_the_links(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache may hold engines too, and even the empty file that is locked."""
    root = hub_cache(digits_bundle, tmp_path)
    bundle = open_bundle(root)
    monkeypatch.setattr(engine_build, "ask", FakeTensorRt(bundle.manifest))
    monkeypatch.setattr(engine_build, "choose_flavour", lambda asked: asked)
    made = compile_bundle(bundle, ENGINES).folder
    blobs = tmp_path / "models--owner--name" / "blobs"
    for number, path in enumerate((*sorted(made.iterdir()), root / ENGINES_DIRECTORY / ".lock")):
        path.rename(blobs / f"engine-{number}")
        link(path, blobs / f"engine-{number}")
    (root / ENGINES_DIRECTORY / ".lock").resolve().write_bytes(b"somebody's")
    before = contents(blobs)
    assert all(engine.reused for engine in compile_bundle(bundle, ENGINES).engines)
    again = EngineOptions(flavour="tensorrt-rtx", precision="fp32", force=True, first_step=True)
    assert not any(engine.reused for engine in compile_bundle(bundle, again).engines)
    assert contents(blobs) == before


@needs_tensorrt_rtx
@pytest.mark.parametrize("layout", ["hub_cache", "one_linked_file"])
def test_tensorrt_finds_weights_behind_links(digits_bundle: Path, tmp_path: Path, layout: str) -> None:
    root = LAYOUTS[layout](digits_bundle, tmp_path)
    found = census_of_bundle(open_bundle(root), ENGINES)
    assert {graph: "MATRIX_MULTIPLY" in census for graph, census in found.items()} == dict.fromkeys(
        ("encoder", "decoder_with_past"), True
    )
