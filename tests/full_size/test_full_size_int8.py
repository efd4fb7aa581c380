"""The real size in int8, with random weights: bytes on disk, memory of a loaded bundle, and nearness to eager."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.full_size import DATA, NEEDED_BYTES, memory_after, require_memory

from benchmarks.peers.tasks import make_tasks
from s2t_runtime.bundles.bundle import Bundle, open_bundle

GEOMETRY = "xls-r-300m"
BUDGET = 0.5  # random weights say nothing of accuracy, and at 0.1 the search would try every layer

pytestmark = pytest.mark.full_size


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Both precisions, each proved against eager."""
    from exporter import ExportOptions, export_checkpoint
    from exporter.checkpoints.sources.kinds import RandomWeightsSource

    require_memory(GEOMETRY, NEEDED_BYTES[GEOMETRY])
    path = tmp_path_factory.mktemp("full-size-int8") / "bundle"
    options = ExportOptions(output=path, precisions=("fp32", "int8"), budget=BUDGET)
    export_checkpoint(RandomWeightsSource(str(DATA / GEOMETRY)), options)
    return open_bundle(path)


def test_the_int8_folder_is_a_quarter(bundle: Bundle) -> None:
    sizes = {
        precision: sum(path.stat().st_size for path in (bundle.root / precision).iterdir())
        for precision in ("fp32", "int8")
    }
    assert 0.25 < sizes["int8"] / sizes["fp32"] <= 0.27


def test_no_block_stays_in_float32_for_the_budget(bundle: Bundle) -> None:
    policy = bundle.manifest.graphs["int8"].policy
    assert policy is not None
    assert not [reason for reason in policy.fp32_blocks.values() if "the budget needs it" in reason]


def test_it_is_near_eager(bundle: Bundle) -> None:
    full, rounded = json.loads((bundle.root / "parity.json").read_text(encoding="utf-8"))
    assert (full["precision"], rounded["precision"]) == ("fp32", "int8")
    assert full["decodings"]["identical_tokens"] == full["decodings"]["compared"] >= 8
    decodings = rounded["decodings"]
    assert decodings["identical_tokens"] + decodings["ties"] == decodings["compared"] >= 8
    assert decodings["worst_score_difference"] < 0.1
    assert 0 < rounded["steps"]["log_prob_difference"] <= BUDGET
    assert rounded["steps"]["token_agreement"] >= 0.95


def test_a_loaded_bundle_needs_little_memory(bundle: Bundle, tmp_path: Path) -> None:
    tasks = make_tasks(bundle, tmp_path, (10.0,), (5,), 40)
    memory = memory_after(bundle.root, "int8", 10 * tasks)
    weights = 4 * bundle.manifest.model.parameters  # in float32
    print(f"{GEOMETRY}, int8: RssAnon {memory['RssAnon'] / weights:.3f} of the fp32 weights")  # noqa: T201 - shown with -s
    assert memory["RssAnon"] / weights <= 0.42
