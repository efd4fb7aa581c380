"""The real size, with random weights: what an export and a loaded bundle may cost, and that eager agrees.

Times of the export are in docs/full-size.md: they are measured by the same benchmark, and asserted nowhere.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from support.full_size import DATA, NEEDED_BYTES, memory_after, require_memory

from benchmarks.full_size import ExportFigures, export_random
from benchmarks.peers.tasks import make_tasks
from exporter.parity.decodings import SCORE_TOLERANCE
from s2t_runtime.bundles.bundle import open_bundle

PARAMETERS = {"xls-r-300m": 792_989_312, "xls-r-1b": 1_441_361_792}

pytestmark = pytest.mark.full_size


@dataclass(frozen=True)
class Figures:
    """Of one geometry."""

    name: str
    export: ExportFigures
    memory: Mapping[str, int]
    """Of a process that loaded the bundle and decoded ten utterances."""


@pytest.fixture(scope="module", params=list(PARAMETERS))
def figures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    name: str = request.param
    require_memory(name, NEEDED_BYTES[name])
    bundle = tmp_path_factory.mktemp(name) / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS")  # of two test workers; here one process has the machine
        exported = export_random(DATA / name, bundle)
    tasks = make_tasks(open_bundle(bundle), bundle.parent, (1.6, 3.1), (5,), 20)
    found = Figures(name, exported, memory_after(bundle, "fp32", 5 * tasks))
    print(json.dumps(dataclasses.asdict(found), indent=2))  # noqa: T201 - for docs/full-size.md, shown with -s
    return found


def test_it_is_the_real_size(figures: Figures) -> None:
    assert figures.export.parameters == PARAMETERS[figures.name]


def test_nothing_is_stored_twice(figures: Figures) -> None:
    assert 0.99 < figures.export.graph_bytes / figures.export.weight_bytes < 1.02


def test_the_export_needs_less_than_two_and_a_half_models_of_memory(figures: Figures) -> None:
    assert 1 < figures.export.peak_bytes / figures.export.weight_bytes < 2.5


def test_the_tokens_are_those_of_eager(figures: Figures) -> None:
    # Two lengths, one beam and five, alone and as a batch.
    assert figures.export.decodings >= 8
    assert figures.export.identical == figures.export.decodings
    assert figures.export.worst_score_difference < SCORE_TOLERANCE


def test_a_loaded_bundle_holds_its_weights_once(figures: Figures) -> None:
    assert 0.9 < figures.memory["RssAnon"] / figures.export.weight_bytes < 1.2
