"""What a model needs of a session, and what the search needs of it: a step function, and nothing else.

The search (``beam_search``, ``greedy``) sees ``step(...) -> Candidates`` only, so it is tested on
scripted step functions with no model. ``onnxruntime.session`` implements a session over ONNX graphs,
``engines.session`` over TensorRT engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
EncodedT = TypeVar("EncodedT")


@dataclass(frozen=True)
class Candidates:
    """The best continuations of every beam.

    Attributes:
        log_probs: float32 [batch, beams, candidates], log-softmax of the raw logits, descending.
        ids: int64 [batch, beams, candidates], the token of each.
        logits: float32 [batch, beams, columns], raw, only where they were asked for; a column for each id, or for
            each that a restricted output projection has.
    """

    log_probs: Float32
    ids: Int64
    logits: Float32 | None = None


@dataclass(frozen=True)
class Request:
    """How much one call will ask of a session, known before anything is computed.

    Attributes:
        encoder_batches: (utterances, samples) of each run of the encoder.
        beams: sequences decoded per utterance, at least 1.
        prompt_length: tokens fed in the first step, a forced first token included.
        max_length: tokens of a sequence at most, prompt included.
    """

    encoder_batches: tuple[tuple[int, int], ...]
    beams: int
    prompt_length: int
    max_length: int

    @property
    def batch(self) -> int:
        """Utterances of the decoder's batch."""
        return sum(utterances for utterances, _ in self.encoder_batches)


class StepFunction(Protocol):
    """One decoder step of one utterance batch; it owns the key/value cache."""

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        """Append tokens to the beams and score what may follow.

        Args:
            tokens: int64 [batch, beams, new]; the prompt (beams 1) in the first call, with a forced first
                token behind it, then the newest token of each beam.
            beam_index: int64 [batch, beams], flat rows ``b * previous_beams + k`` of the cache that
                each beam continues. The first call passes ``beam_index[b, 0] = b``; the second one
                follows a single row per utterance, so it passes ``beam_index[b, :] = b``.
            candidates: how many candidates per beam to return, at least 1.
            with_logits: also return the raw logits of all columns.
        """


class TimedStep(StepFunction, Protocol):
    """A step function that keeps the time."""

    @property
    def step_times_s(self) -> Sequence[float]:
        """Seconds that each step took, in order."""


class Session(Protocol[EncodedT]):
    """A loaded encoder and decoder. ``EncodedT`` is whatever it keeps of encoded utterances."""

    @property
    def max_candidates(self) -> int:
        """Most candidates per beam that a step can return."""

    def decoding(self, request: Request, /) -> AbstractContextManager[None]:
        """Hold what one call needs; ``encode``, ``stack``, ``start`` and the steps happen inside.

        Raises:
            OptionError, AudioError: the session cannot serve a call of this size.
        """

    def encode(self, audio: Float32, lengths: Int64) -> EncodedT:
        """Encode audio [batch, samples], zero behind each utterance's end; lengths [batch]."""

    def stack(self, parts: Sequence[EncodedT]) -> EncodedT:
        """Join encoded utterances into one decoder batch, padded to the longest."""

    def start(self, encoded: EncodedT) -> TimedStep:
        """Begin to decode these utterances."""

    def close(self) -> None:
        """Let go of everything, once no call is in progress."""
