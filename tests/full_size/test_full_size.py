"""The real size, with random weights: what an export and a loaded bundle may cost, and that eager agrees.

Times of the export are in docs/full-size.md: they are measured by the same benchmark, and asserted nowhere.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.full_size import ExportFigures, export_random
from benchmarks.peer import Case, Task
from benchmarks.peer_process import PeerProcess
from benchmarks.tasks import make_tasks
from exporter.parity_generate import SCORE_TOLERANCE
from s2t_runtime.bundle import open_bundle

DATA = Path(__file__).resolve().parents[1] / "data"
PARAMETERS = {"xls-r-300m": 792_989_312, "xls-r-1b": 1_441_361_792}
# Three graphs of 5.8 GB of weights, with eager beside them.
NEEDED_BYTES = {"xls-r-300m": 9 << 30, "xls-r-1b": 17 << 30}

pytestmark = pytest.mark.full_size


@dataclass(frozen=True)
class Figures:
    """Of one geometry."""

    name: str
    export: ExportFigures
    memory: Mapping[str, int]
    """Of a process that loaded the bundle and decoded ten utterances."""


def available_bytes() -> int:
    """Memory that the system can give."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return 1024 * int(fields["MemAvailable"].split()[0])


def require_memory(name: str, needed_bytes: int) -> None:
    """Skip where the machine has less."""
    available = available_bytes()
    if available < needed_bytes:
        pytest.skip(f"{name} needs {needed_bytes >> 30} GiB of free memory, {available >> 30} GiB are")


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


def memory_after(bundle: Path, precision: str, tasks: Sequence[Task]) -> Mapping[str, int]:
    """Of a process that loads a precision of the bundle and decodes these, with all of the machine's cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS")
        settings = {"bundle": str(bundle), "precision": precision}
        process = PeerProcess(Case("load", "runtime", settings, precision))
    try:
        for task in tasks:
            process.run(task)
        return process.memory()
    finally:
        process.close()


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
