"""A peer in a process of its own: what it answers, what it costs, and every way in which it can end."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.errors import PeerError
from benchmarks.measuring import peer_process
from benchmarks.measuring.peer_process import PeerProcess, has_preparation, prepared, settle
from benchmarks.peers.protocol import Case, Task
from benchmarks.peers.tasks import make_tasks
from s2t_runtime import SpeechToText
from s2t_runtime.bundles.bundle import open_bundle


@pytest.fixture(scope="module")
def task(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Task:
    directory = tmp_path_factory.mktemp("tasks")
    return make_tasks(open_bundle(digits_bundle), directory, (1.0,), (2,), 4)[0]


@pytest.fixture(scope="module")
def peer(digits_bundle: Path) -> Iterator[PeerProcess]:
    process = PeerProcess(Case("cpu", "runtime", {"bundle": str(digits_bundle), "threads": 1}, "fp32"))
    yield process
    process.close()


def test_it_decodes_as_the_model_does(peer: PeerProcess, task: Task, model: SpeechToText) -> None:
    wanted = model.generate(task.audio[0], **task.decoding_options)
    assert peer.run(task).tokens == (wanted.tokens,)
    assert peer.answer(task).scores == (wanted.score,)
    assert peer.load_s > 0
    assert peer.threads == 1


def test_its_memory_is_its_own(peer: PeerProcess) -> None:
    found = peer.memory()
    assert 20e6 < found["RssAnon"] <= found["VmRSS"] <= found["VmHWM"]
    assert "torch" in sys.modules or found["VmRSS"] < 1e9  # the tests' process has torch, this one has not


def test_an_error_is_told_and_the_peer_goes_on(peer: PeerProcess, task: Task) -> None:
    missing = Task("none", ("/nowhere.wav",), 1.0, 1, 4)
    with pytest.raises(PeerError, match=r"/nowhere\.wav"):
        peer.run(missing)
    assert peer.run(task).tokens


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bundle": "/nowhere"}, r"^/nowhere "),
        ({"bundle": "/nowhere", "colour": 1}, r"^TypeError: open_peer\(\) got an unexpected keyword"),
    ],
)
def test_a_peer_that_cannot_be_opened(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PeerError, match=message):
        PeerProcess(Case("A", "runtime", settings, "fp32"))


def test_a_process_that_is_killed(digits_bundle: Path, task: Task) -> None:
    case = Case("B", "runtime", {"bundle": str(digits_bundle), "threads": 1}, "fp32")
    process = PeerProcess(case)
    pid = process._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    process._process.join()
    message = "the process of B ended with exit code -9"
    for _ in range(2):  # while it is asked, and when it is asked again
        with pytest.raises(PeerError, match=f"^{re.escape(message)}$"):
            process.run(task)
    process.close()


def test_a_case_is_prepared_in_a_process_of_its_own(digits_bundle: Path, task: Task, tmp_path: Path) -> None:
    plain = Case("A", "runtime", {}, "fp32")
    assert not has_preparation(plain)
    halves = Case("B", "ctranslate2", {"bundle": str(digits_bundle), "device": "cuda"}, "fp32")
    assert has_preparation(halves)
    # What it says comes back, whether the package is installed or not.
    with pytest.raises(
        PeerError, match=r"^(CTranslate2 is measured on the CPU alone|ctranslate2 is not installed)"
    ):
        prepared(halves, [task], tmp_path)
    strange = Case("C", "ctranslate2", {"colour": 1}, "fp32")
    with pytest.raises(
        PeerError, match=r"^TypeError: prepare\(\) got an unexpected keyword argument 'colour'$"
    ):
        prepared(strange, [task], tmp_path)


def test_a_preparation_whose_process_dies_is_told(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a process without memory meets: it is gone before it can say anything.
    (tmp_path / "killed_preparation.py").write_text(
        "import os, signal\n\ndef prepare(*_, **__):\n    os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="ascii",
    )
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, killed_preparation\nsys.modules['benchmarks.peers.killed.peer'] = killed_preparation\n",
        encoding="ascii",
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    message = "preparing D ended with exit code -9"
    with pytest.raises(PeerError, match=f"^{re.escape(message)}$"):
        prepared(Case("D", "killed", {}, "fp32"), [task], tmp_path)


@pytest.mark.parametrize(("busy_looks", "looks"), [(0, 1), (3, 4), (10_000, 334)])
def test_the_next_turn_waits_until_this_process_is_quiet_or_a_second(
    monkeypatch: pytest.MonkeyPatch, busy_looks: int, looks: int
) -> None:
    slept_s: list[float] = []
    clock = SimpleNamespace(
        sleep=slept_s.append,
        perf_counter=lambda: sum(slept_s),
        process_time=lambda: sum(slept_s[:busy_looks]),
    )
    monkeypatch.setattr(peer_process, "time", clock)
    settle()
    assert len(slept_s) == looks
