"""Looks over the decoder's shoulder: which rows each of its steps continued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from s2t_runtime.sessions.onnxruntime.session import DecoderState

Steps = Sequence[NDArray[np.int64]]
"""The beam_index of each decoder step."""


@contextmanager
def recorded_steps() -> Iterator[list[NDArray[np.int64]]]:
    """The beam_index of every decoder step taken meanwhile."""
    seen: list[NDArray[np.int64]] = []
    original = DecoderState.__call__

    def call(self: DecoderState, tokens: Any, beam_index: Any, candidates: int, **keywords: Any) -> Any:
        seen.append(np.array(beam_index))
        return original(self, tokens, beam_index, candidates, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DecoderState, "__call__", call)
        yield seen


def reordered(steps: Steps) -> bool:
    """Whether some step does not continue each beam by itself; the first two spread one row to all beams."""
    return any((index.ravel() != np.arange(index.size)).any() for index in steps[2:])
