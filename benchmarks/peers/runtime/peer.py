"""Peer: a bundle through ``s2t_runtime``, with ONNX Runtime or with TensorRT engines."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.peers.protocol import Answer, Run, Task, best_of
from benchmarks.peers.runtime.timed_session import TimedSession
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.model import SpeechToText
from s2t_runtime.options.call import DecodingOptions
from s2t_runtime.results import Result
from s2t_runtime.sessions.open import ENGINES, open_session
from s2t_runtime.sessions.protocol import Session

_BACKEND: Final = "s2t_runtime.sessions.onnxruntime.session"
_TASKS: Final = Path("/proc/self/task")
_GRAPHS: Final = 2
"""Encoder and decoder, each with a pool of its own."""


class RuntimePeer:
    """Decodes as ``SpeechToText.generate`` does, because it is what it calls."""

    def __init__(self, model: SpeechToText, session: TimedSession[Any], threads: int | None) -> None:
        """Take a model, the session that is in it, and the threads that this one computes with."""
        self._model, self._session, self._threads = model, session, threads

    @property
    def threads(self) -> int | None:
        """See ``Peer``."""
        return self._threads

    def run(self, task: Task) -> Run:
        """See ``Peer``."""
        began_s = time.perf_counter()
        results = self._generate(task)
        times = self._session.times(began_s, time.perf_counter(), prompt_length=task.prompt_length)
        return Run(times, tuple(result.tokens for result in results))

    def answer(self, task: Task) -> Answer:
        """See ``Peer``."""
        return best_of([(result.tokens, result.score) for result in self._generate(task)])

    def close(self) -> None:
        """See ``Peer``."""
        self._model.close()

    def _generate(self, task: Task) -> list[Result]:
        options = cast("DecodingOptions", task.decoding_options)
        return self._model.generate(list(task.audio), **options)


def open_peer(
    *,
    bundle: str,
    provider: str = "cpu",
    precision: str | None = None,
    threads: int | None = None,
    flavour: str | None = None,
    spin: bool | None = None,
) -> RuntimePeer:
    """Load a bundle.

    Args:
        bundle: its directory.
        provider: a key of ``s2t_runtime.sessions.open.PROVIDERS``.
        precision: one that it holds; None takes its default.
        threads: of ONNX Runtime.
        flavour: of the engines, where the provider is "tensorrt"; None takes any.
        spin: whether ONNX Runtime's threads spin between operators; None takes the runtime's default.

    Raises:
        S2TError: it cannot be loaded here.
    """
    opened = open_bundle(bundle)
    session: Session[Any]
    if provider == ENGINES:
        from s2t_runtime.sessions.tensorrt.libraries import open_engines  # noqa: PLC0415 - each side alone

        session, used = open_engines(opened, precision, verify="fast", flavour=flavour), None
    else:
        importlib.import_module(_BACKEND)  # its own threads do not count
        before = _threads_here()
        session = open_session(
            opened, precision, provider=provider, threads=threads, verify="fast", spin=spin
        )
        used = _pool_threads(before, _threads_here()) if provider == "cpu" else None
    timed = TimedSession(session)
    return RuntimePeer(SpeechToText(opened, timed), timed, used)


def _pool_threads(before: int | None, after: int | None) -> int | None:
    """Threads of each graph's pool: ONNX Runtime, which chooses their number where it is given none, does not tell it.

    Args:
        before: threads of this process before the graphs were loaded.
        after: the same when they were: a pool has one less of its own, because the caller computes too.
    """
    return None if before is None or after is None else (after - before) // _GRAPHS + 1


def _threads_here() -> int | None:
    """Of this process; None where the system does not list them."""
    try:
        return sum(1 for _ in _TASKS.iterdir())
    except OSError:
        return None
