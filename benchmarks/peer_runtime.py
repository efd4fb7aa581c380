"""Peer: a bundle through ``s2t_runtime``, with ONNX Runtime or with TensorRT engines."""

from __future__ import annotations

import time
from typing import Any, cast

from benchmarks.peer import Answer, Run, Task, best_of
from benchmarks.timed_session import TimedSession
from s2t_runtime.bundle import open_bundle
from s2t_runtime.call_options import DecodingOptions
from s2t_runtime.model import SpeechToText
from s2t_runtime.open_session import ENGINES, open_session
from s2t_runtime.results import Result
from s2t_runtime.session import Session


class RuntimePeer:
    """Decodes as ``SpeechToText.generate`` does, because it is what it calls."""

    def __init__(self, model: SpeechToText, session: TimedSession[Any]) -> None:
        """Take a model and the session that is in it."""
        self._model, self._session = model, session

    def run(self, task: Task) -> Run:
        """See ``Peer``."""
        began_s = time.perf_counter()
        results = self._generate(task)
        times = self._session.times(began_s, time.perf_counter())
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
) -> RuntimePeer:
    """Load a bundle.

    Args:
        bundle: its directory.
        provider: a key of ``s2t_runtime.open_session.PROVIDERS``.
        precision: one that it holds; None takes its default.
        threads: of ONNX Runtime.
        flavour: of the engines, where the provider is "tensorrt"; None takes any.

    Raises:
        S2TError: it cannot be loaded here.
    """
    opened = open_bundle(bundle)
    session: Session[Any]
    if provider == ENGINES:
        from s2t_runtime.session_tensorrt import open_engines  # noqa: PLC0415 - each side alone

        session = open_engines(opened, precision, verify="fast", flavour=flavour)
    else:
        session = open_session(opened, precision, provider=provider, threads=threads, verify="fast")
    timed = TimedSession(session)
    return RuntimePeer(SpeechToText(opened, timed), timed)
