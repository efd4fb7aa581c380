"""PyTorch as a peer, on the CPU: the same code that runs on a GPU, with eager's own answers."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.errors import PeerError
from benchmarks.measuring.agreement import agreement
from benchmarks.peers.protocol import STAGES, Task
from benchmarks.peers.runtime.peer import open_peer as open_runtime
from benchmarks.peers.tasks import make_tasks
from benchmarks.peers.torch import peer as peer_torch
from benchmarks.peers.torch.generation import TorchPeer
from benchmarks.peers.torch.peer import open_peer
from exporter.parity.decodings import SCORE_TOLERANCE
from exporter.reference.eager import EagerReference
from s2t_runtime.bundles.bundle import Bundle, open_bundle


@pytest.fixture(scope="module")
def tasks(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    directory = tmp_path_factory.mktemp("tasks")
    return make_tasks(open_bundle(digits_bundle), directory, (1.0,), (1, 5), 5)


def opened(digits_bundle: Path, digits_checkpoint: Path, **settings: Any) -> TorchPeer:
    return open_peer(
        bundle=str(digits_bundle), against=[str(digits_checkpoint)], device="cpu", threads=1, **settings
    )


@pytest.fixture(scope="module")
def eager(digits_bundle: Path, digits_checkpoint: Path) -> TorchPeer:
    return opened(digits_bundle, digits_checkpoint)


@pytest.mark.parametrize("number", [0, 1])
def test_stages_add_up_and_there_is_one_step_a_token(
    eager: TorchPeer, tasks: list[Task], number: int
) -> None:
    times = eager.run(tasks[number]).times
    samples = {stage: times.samples(stage) for stage in STAGES}
    assert all(value > 0 for values in samples.values() for value in values)
    assert len(samples["step"]) == 4
    assert times.first_step_tokens == 1
    assert eager.threads == torch.get_num_threads()
    parts = sum(sum(values) for stage, values in samples.items() if stage != "total")
    assert parts == pytest.approx(times.total_s)


def test_the_bundle_answers_as_eager_does(eager: TorchPeer, tasks: list[Task], digits_bundle: Path) -> None:
    runtime = open_runtime(bundle=str(digits_bundle), threads=1)
    for task in tasks:
        wanted = eager.answer(task)
        assert eager.run(task).tokens == wanted.tokens
        found = agreement(runtime.answer(task), wanted, task.tokens)
        assert (found.identical, found.agreeing) == (1, task.tokens)
        assert found.score_difference < SCORE_TOLERANCE
    runtime.close()


def test_the_answer_is_the_references(
    eager: TorchPeer, tasks: list[Task], digits_bundle: Path, digits_checkpoint: Path
) -> None:
    reference = EagerReference(eager._reference.checkpoint)
    (wanted,) = reference.generate(eager._read(tasks[1]), **tasks[1].decoding_options)
    answer = eager.answer(tasks[1])
    assert answer.tokens == wanted.tokens[:1]
    assert answer.scores == pytest.approx(wanted.scores[:1])


def test_half_is_half_and_near(
    eager: TorchPeer, tasks: list[Task], digits_bundle: Path, digits_checkpoint: Path
) -> None:
    half = opened(digits_bundle, digits_checkpoint, precision="fp16")
    assert {parameter.dtype for parameter in half._model.parameters()} == {torch.float16}
    found = agreement(half.answer(tasks[1]), eager.answer(tasks[1]), tasks[1].tokens)
    assert 0 < found.score_difference < 0.1


def test_compile_wraps_both_halves(
    tasks: list[Task], digits_bundle: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []

    def compile_(function: Any, *, dynamic: bool) -> Any:
        assert dynamic
        compiled.append(function.__self__)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    peer = opened(digits_bundle, digits_checkpoint, mode="compile")
    assert compiled == [peer._model.encoder, peer._model.decoder]
    assert len(peer.run(tasks[0]).times.steps_s) == 4


@pytest.mark.broad
@pytest.mark.skipif(
    all(shutil.which(name) is None for name in (os.environ.get("CXX", "g++"), "g++", "clang++")),
    reason="torch.compile on a CPU needs a C++ compiler: apt-get install g++",
)
def test_what_is_really_compiled_answers_as_eager_does(
    eager: TorchPeer, tasks: list[Task], digits_bundle: Path, digits_checkpoint: Path
) -> None:
    torch._dynamo.utils.counters.clear()
    peer = opened(digits_bundle, digits_checkpoint, mode="compile")
    wanted = eager.answer(tasks[1])
    assert peer.run(tasks[1]).tokens == wanted.tokens
    assert peer.answer(tasks[1]).scores == pytest.approx(wanted.scores, abs=SCORE_TOLERANCE)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert torch._dynamo.utils.counters["inductor"]


def test_the_device_is_waited_for_at_every_border(
    eager: TorchPeer, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[None] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(None))
    monkeypatch.setattr(eager, "_device", "cuda")
    eager.run(tasks[0])
    assert eager.threads is None
    # Begin, read, searched; before and behind the encoder and each of five steps.
    assert len(waited) == 3 + 2 * (1 + 5)


def test_float32_is_float32(eager: TorchPeer) -> None:
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_pytorch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    message = f"torch {torch.__version__} was built without CUDA: install PyTorch's CUDA build"
    with pytest.raises(PeerError, match=f"^{re.escape(message)}$"):
        open_peer(bundle="b")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert peer_torch.torch_problem() == f"torch {torch.__version__} finds no GPU that it can use"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert peer_torch.torch_problem() is None


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_only_tokens_that_the_bundle_has_are_written(
    eager: TorchPeer, tasks: list[Task], digits_bundle: Path, digits_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    free = eager.answer(tasks[1])
    size = eager._model.decoder.config.vocab_size
    kept = np.array([token for token in range(size) if token != free.tokens[0][2]])
    kept.flags.writeable = False  # as a bundle gives them: torch must not warn of it
    monkeypatch.setattr(Bundle, "output_ids", lambda _: kept)
    cut = opened(digits_bundle, digits_checkpoint)
    found = cut.answer(tasks[1])
    assert found.remark == (
        f"computes all {size} logits and masks those that the bundle lacks, which has {size - 1}"
    )
    assert free.tokens[0][2] not in found.tokens[0]
    assert cut.run(tasks[1]).tokens == found.tokens
    # As transformers has it: the others suppressed, the scores renormalised.
    options = {
        **tasks[1].decoding_options,
        "suppress_tokens": [free.tokens[0][2]],
        "renormalize_logits": True,
    }
    (wanted,) = EagerReference(eager._reference.checkpoint).generate(eager._read(tasks[1]), **options)
    assert found.tokens == wanted.tokens[:1]
