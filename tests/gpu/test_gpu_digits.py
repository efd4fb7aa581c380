"""The digits model on a GPU: ONNX Runtime's CUDA provider and TensorRT engines decode as eager does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.digits.audio import usual_batches
from support.reference.gpu_parity import answers_of_eager, answers_of_runtime, check_half, compared

import s2t_runtime
from benchmarks.peers.protocol import Answer, Task
from benchmarks.peers.tasks import make_tasks
from exporter.parity.decodings import SCORE_TOLERANCE
from s2t_runtime.bundles.bundle import open_bundle

pytestmark = pytest.mark.gpu
RATE = 16_000


@pytest.fixture(scope="module")
def tasks(digits_fp16_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    bundle = open_bundle(digits_fp16_bundle)
    return make_tasks(bundle, tmp_path_factory.mktemp("tasks"), (0.6, 2.7), (1, 5), 24)


@pytest.fixture(scope="module")
def eager(
    torch_cuda: None, digits_fp16_bundle: Path, digits_checkpoint: Path, tasks: list[Task]
) -> dict[str, list[Answer]]:
    """Answers of eager on this GPU, by precision."""
    return {
        precision: answers_of_eager(digits_fp16_bundle, digits_checkpoint, precision, tasks)
        for precision in ("fp32", "fp16")
    }


@pytest.mark.usefixtures("cuda_provider")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_check_s2t_passes_on_the_gpu(
    digits_fp16_bundle: Path, digits_checkpoint: Path, precision: str
) -> None:
    """Against eager in float32 on the CPU, with the tolerances that every export is held to."""
    from exporter.checkpoints.load import load_source
    from exporter.checkpoints.sources.kinds import CheckpointSource
    from exporter.parity.check import check_parity

    checkpoint = load_source(CheckpointSource(str(digits_checkpoint), None))
    report = check_parity(checkpoint, digits_fp16_bundle, precision=precision, provider="cuda")
    assert report.provider == "cuda"
    failed = [row for row in report.decodings if not row.passed]
    assert not failed
    assert report.passed


@pytest.mark.usefixtures("cuda_provider")
def test_fp32_is_eagers_fp32(
    digits_fp16_bundle: Path, eager: dict[str, list[Answer]], tasks: list[Task]
) -> None:
    answers = answers_of_runtime(digits_fp16_bundle, "cuda", "fp32", tasks)
    found = compared(answers, eager["fp32"], tasks)
    assert all(one.identical == one.utterances for one in found)
    assert max(one.score_difference for one in found) < SCORE_TOLERANCE
    check_half(compared(answers, eager["fp16"], tasks))


@pytest.mark.usefixtures("cuda_provider")
@pytest.mark.parametrize("reference", ["fp32", "fp16"])
def test_fp16_is_near_eager(
    digits_fp16_bundle: Path, eager: dict[str, list[Answer]], tasks: list[Task], reference: str
) -> None:
    answers = answers_of_runtime(digits_fp16_bundle, "cuda", "fp16", tasks)
    check_half(compared(answers, eager[reference], tasks))


@pytest.mark.parametrize("reference", ["fp32", "fp16"])
def test_engines_are_near_eager(
    flavour: str, with_engines: Callable[..., Path], digits_fp16_bundle: Path, eager: dict[str, list[Answer]],
    tasks: list[Task], reference: str,
) -> None:  # fmt: skip
    bundle = with_engines(digits_fp16_bundle, max_length=64)
    answers = answers_of_runtime(bundle, "tensorrt", "fp16", tasks, flavour)
    check_half(compared(answers, eager[reference], tasks))


def speech() -> list[Any]:
    return [waveform for batch in usual_batches() for waveform in batch.waveforms][:4]


@pytest.mark.usefixtures("cuda_provider")
@pytest.mark.parametrize("beams", [1, 5])
def test_a_batch_of_speech_is_what_the_cpu_says(digits_fp16_bundle: Path, beams: int) -> None:
    options: dict[str, Any] = {"sampling_rate": RATE, "num_beams": beams}
    with (
        s2t_runtime.load(digits_fp16_bundle, precision="fp32", threads=1) as host,
        s2t_runtime.load(digits_fp16_bundle, precision="fp32", provider="cuda") as device,
    ):
        wanted, found = host.generate(speech(), **options), device.generate(speech(), **options)
    assert [one.tokens for one in found] == [one.tokens for one in wanted]
    assert np.allclose([one.score for one in found], [one.score for one in wanted], atol=SCORE_TOLERANCE)


def test_engines_on_speech_in_every_way(
    flavour: str, with_engines: Callable[..., Path], digits_fp16_bundle: Path
) -> None:
    """Alone and together, with CUDA graphs and without, with the engine of the first step and without."""
    plain = with_engines(digits_fp16_bundle, max_length=64)
    first = with_engines(digits_fp16_bundle, max_length=64, first_step=True)
    options: dict[str, Any] = {"sampling_rate": RATE, "num_beams": 5}
    with s2t_runtime.load(digits_fp16_bundle, precision="fp32", threads=1) as host:
        wanted = [one.tokens for one in host.generate(speech(), **options)]
    for bundle, graphs in ((plain, False), (plain, True), (first, False)):
        with s2t_runtime.load(bundle, provider="tensorrt", cuda_graphs=graphs) as model:
            together = model.generate(speech(), **options)
            alone = [model.generate(waveform, **options) for waveform in speech()]
        assert [one.tokens for one in together] == [one.tokens for one in alone] == wanted
