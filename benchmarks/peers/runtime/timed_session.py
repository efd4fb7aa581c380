"""Takes the time of the runtime's stages at the borders of its session, so that ``generate`` itself is measured."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Generic

from benchmarks.peers.protocol import StageTimes
from s2t_runtime.sessions.protocol import EncodedT, Float32, Int64, Request, Session, TimedStep


class TimedSession(Generic[EncodedT]):
    """A session that passes everything on to another one and looks at the clock.

    The borders are real ones on a GPU as well, because every call returns when its result is there: ONNX Runtime
    waits for its stream at the end of each run (unless disable_synchronize_execution_providers is set, and it is
    not), an engine session waits after the encoder and in every step, and a step's scores are copied to the host.
    So the clock of the host is right without events, and it counts what a caller waits for: launches, copies, Python.
    """

    def __init__(self, session: Session[EncodedT]) -> None:
        """Wrap a session, which this one closes."""
        self._session = session
        self._state: TimedStep | None = None
        self._marks: dict[str, float] = {}
        self._fed = 1

    @property
    def max_candidates(self) -> int:
        """See ``Session``."""
        return self._session.max_candidates

    @contextlib.contextmanager
    def decoding(self, request: Request, /) -> Iterator[None]:
        """See ``Session``: between its borders the audio is there and no text is made yet."""
        self._fed = request.prompt_length
        with self._session.decoding(request):
            self._mark("read")
            yield
            self._mark("searched")

    def encode(self, audio: Float32, lengths: Int64) -> EncodedT:
        """See ``Session``."""
        return self._session.encode(audio, lengths)

    def stack(self, parts: Sequence[EncodedT]) -> EncodedT:
        """See ``Session``."""
        return self._session.stack(parts)

    def start(self, encoded: EncodedT) -> TimedStep:
        """See ``Session``; the steps take their own time."""
        self._mark("encoded")
        self._state = self._session.start(encoded)
        self._mark("started")
        return self._state

    def close(self) -> None:
        """See ``Session``."""
        self._session.close()

    def times(self, began_s: float, ended_s: float, *, prompt_length: int) -> StageTimes:
        """The stages of the decoding that is just over.

        Args:
            began_s: ``time.perf_counter()`` before ``generate`` was called.
            ended_s: the same when it had returned.
            prompt_length: tokens that it has; what the first step is fed besides was forced.
        """
        if self._state is None:
            raise RuntimeError("nothing was decoded yet")
        marks = self._marks
        first, *later = self._state.step_times_s or (0.0,)  # none where every token was forced
        starting = marks["started"] - marks["encoded"]
        return StageTimes(
            audio_s=marks["read"] - began_s,
            encoder_s=marks["encoded"] - marks["read"],
            first_step_s=starting + first,
            steps_s=tuple(later),
            search_s=marks["searched"] - marks["started"] - first - sum(later),
            detokenise_s=ended_s - marks["searched"],
            total_s=ended_s - began_s,
            first_step_tokens=self._fed - prompt_length + 1,
        )

    def _mark(self, name: str) -> None:
        self._marks[name] = time.perf_counter()
