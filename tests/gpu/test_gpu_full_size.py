"""The real size on a GPU, with random weights: parity of the CUDA provider and of engines against eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.places import ROOT
from support.reference.gpu_parity import answers_of_eager, answers_of_runtime, compared

from benchmarks.peers.protocol import Answer, Task
from benchmarks.peers.tasks import make_tasks
from exporter.parity.decodings import SCORE_TOLERANCE
from s2t_runtime.bundles.bundle import open_bundle

pytestmark = [pytest.mark.gpu, pytest.mark.full_size]
GEOMETRY = ROOT / "tests" / "data" / "xls-r-300m"


@pytest.fixture(scope="module")
def bundle(gpu: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both precisions; unchecked, because the tests are the check. On the CPU, some minutes and 10 GB of memory."""
    from exporter import ExportOptions, export_checkpoint
    from exporter.checkpoints.sources.kinds import RandomWeightsSource

    path = tmp_path_factory.mktemp("full-size") / "bundle"
    options = ExportOptions(output=path, precisions=("fp32", "fp16"), max_audio_s=30.0, check=False)
    export_checkpoint(RandomWeightsSource(str(GEOMETRY)), options)
    return path


@pytest.fixture(scope="module")
def tasks(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    return make_tasks(open_bundle(bundle), tmp_path_factory.mktemp("tasks"), (2.0, 10.0), (1, 5), 40)


@pytest.fixture(scope="module")
def eager(torch_cuda: None, bundle: Path, tasks: list[Task]) -> dict[str, list[Answer]]:
    return {precision: answers_of_eager(bundle, GEOMETRY, precision, tasks) for precision in ("fp32", "fp16")}


@pytest.mark.usefixtures("cuda_provider")
def test_fp32_is_eagers_fp32(bundle: Path, eager: dict[str, list[Answer]], tasks: list[Task]) -> None:
    found = compared(answers_of_runtime(bundle, "cuda", "fp32", tasks), eager["fp32"], tasks)
    assert all(one.identical == one.utterances for one in found)
    assert max(one.score_difference for one in found) < SCORE_TOLERANCE


@pytest.mark.usefixtures("cuda_provider")
@pytest.mark.parametrize("reference", ["fp32", "fp16"])
def test_fp16_is_near_eager(
    bundle: Path, eager: dict[str, list[Answer]], tasks: list[Task], reference: str
) -> None:
    found = compared(answers_of_runtime(bundle, "cuda", "fp16", tasks), eager[reference], tasks)
    assert max(one.score_difference for one in found) < 0.1  # tokens of random weights are often nearly ties


@pytest.mark.parametrize("reference", ["fp32", "fp16"])
def test_engines_are_near_eager(
    flavour: str, with_engines: Callable[..., Path], bundle: Path, eager: dict[str, list[Answer]],
    tasks: list[Task], reference: str,
) -> None:  # fmt: skip
    built = with_engines(bundle, max_audio_s=10.0, max_length=64, max_batch=1)
    found = compared(answers_of_runtime(built, "tensorrt", "fp16", tasks, flavour), eager[reference], tasks)
    assert max(one.score_difference for one in found) < 0.1
