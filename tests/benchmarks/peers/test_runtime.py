"""The runtime as a peer: its stages are those of ``generate`` itself, with nothing left over."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.protocol import STAGES, Case, Task, open_peer
from benchmarks.peers.runtime import peer as peer_runtime
from benchmarks.peers.runtime.peer import RuntimePeer
from benchmarks.peers.runtime.timed_session import TimedSession
from benchmarks.peers.tasks import make_tasks
from s2t_runtime import SessionError, SpeechToText
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.sessions.open import open_session
from s2t_runtime.sessions.tensorrt import libraries as session_tensorrt


@pytest.fixture(scope="module")
def tasks(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    directory = tmp_path_factory.mktemp("tasks")
    return make_tasks(open_bundle(digits_bundle), directory, (1.0,), (1, 5), 6)


@pytest.fixture(scope="module")
def peer(digits_bundle: Path) -> Iterator[RuntimePeer]:
    case = Case("cpu", "runtime", {"bundle": str(digits_bundle), "threads": 1}, "fp32")
    opened = open_peer(case)
    assert isinstance(opened, RuntimePeer)
    yield opened
    opened.close()


@pytest.mark.parametrize("number", [0, 1])
def test_stages_add_up_and_none_is_empty(peer: RuntimePeer, tasks: list[Task], number: int) -> None:
    run = peer.run(tasks[number])
    samples = {stage: run.times.samples(stage) for stage in STAGES}
    assert all(value > 0 for values in samples.values() for value in values)
    assert len(samples["step"]) == 3  # and the first step; the first and last of six tokens are forced
    parts = sum(sum(values) for stage, values in samples.items() if stage != "total")
    assert parts == pytest.approx(run.times.total_s)
    rest = run.times.audio_s + run.times.encoder_s + run.times.detokenise_s
    assert run.times.decoding_s == pytest.approx(run.times.total_s - rest)


def test_the_first_step_gives_the_token_behind_the_forced_one(peer: RuntimePeer, tasks: list[Task]) -> None:
    assert tasks[0].options  # a language's token is forced
    assert peer.run(tasks[0]).times.first_step_tokens == 2
    free = dataclasses.replace(tasks[0], options={})
    assert peer.run(free).times.first_step_tokens == 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_threads_that_compute_are_counted(digits_bundle: Path, threads: int) -> None:
    case = Case("cpu", "runtime", {"bundle": str(digits_bundle), "threads": threads}, "fp32")
    opened = open_peer(case)
    assert opened.threads == threads
    opened.close()


def test_threads_that_onnxruntime_chose_are_counted(digits_bundle: Path) -> None:
    opened = open_peer(Case("cpu", "runtime", {"bundle": str(digits_bundle)}, "fp32"))
    assert opened.threads is not None
    assert 1 <= opened.threads <= (os.cpu_count() or 1)
    opened.close()


def test_threads_that_nobody_lists_are_unknown(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peer_runtime, "_TASKS", tmp_path / "none")
    opened = open_peer(Case("cpu", "runtime", {"bundle": str(digits_bundle), "threads": 1}, "fp32"))
    assert opened.threads is None
    opened.close()


def test_the_encoder_is_what_the_result_says(peer: RuntimePeer, tasks: list[Task]) -> None:
    (result,) = peer._generate(tasks[1])
    times = peer._session.times(0.0, 1e9, prompt_length=1)  # of the decoding just over
    assert times.encoder_s == pytest.approx(result.timings_s["encoder"], abs=2e-3)
    assert times.first_step_s >= result.timings_s["first_step"]
    assert times.decoding_s == pytest.approx(
        result.timings_s["first_step"] + result.timings_s["decode"], abs=2e-3
    )


def test_answers_are_those_of_the_model(peer: RuntimePeer, tasks: list[Task], model: SpeechToText) -> None:
    for task in tasks:
        wanted = model.generate(task.audio[0], **task.decoding_options)
        answer = peer.answer(task)
        assert answer.tokens == peer.run(task).tokens == (wanted.tokens,)
        assert answer.scores == (wanted.score,)
        assert len(wanted.tokens) == 1 + task.tokens  # no more and no fewer


def test_nothing_was_decoded_yet(digits_bundle: Path) -> None:
    session = open_session(open_bundle(digits_bundle), None, provider="cpu", threads=1, verify="fast")
    with pytest.raises(RuntimeError, match=r"^nothing was decoded yet$"):
        TimedSession(session).times(0.0, 1.0, prompt_length=1)


def test_engines_of_one_flavour_are_asked_for(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def open_engines(*_: object, **keywords: object) -> None:
        asked.append(keywords)
        raise SessionError("no engines")

    monkeypatch.setattr(session_tensorrt, "open_engines", open_engines)
    settings = {
        "bundle": str(digits_bundle), "provider": "tensorrt", "precision": "fp32", "flavour": "tensorrt-rtx"
    }  # fmt: skip
    with pytest.raises(SessionError, match=r"^no engines$"):
        open_peer(Case("engines", "runtime", settings, "fp32"))
    assert asked == [{"verify": "fast", "flavour": "tensorrt-rtx"}]


def test_a_flavour_that_is_not_there(digits_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_tensorrt, "cuda_driver_problem", lambda: None)
    monkeypatch.setattr(session_tensorrt, "_cuda_calls", lambda: None)
    found = ({"tensorrt-rtx": None}, {"tensorrt": "is not installed"})
    monkeypatch.setattr(session_tensorrt, "tensorrt_modules", lambda: found)
    message = (
        "no TensorRT can be used (tensorrt is not installed): engines cannot run here; the same bundle runs"
    )
    with pytest.raises(SessionError, match=f"^{re.escape(message)} with --provider cpu$"):
        session_tensorrt.open_engines(open_bundle(digits_bundle), None, verify="fast", flavour="tensorrt")
