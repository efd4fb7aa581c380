"""Decodes with TensorRT engines: which profile, which addresses, in which order; no call of CUDA.

The audio, the newest tokens and the beam index go to the device; the candidates come back. What the
encoder wrote stays there, and so do the caches. The device's memory exists once, so that calls from several
threads wait for each other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from s2t_runtime.bundles.engine_record import BoundTensor
from s2t_runtime.errors import ClosedError, SessionError
from s2t_runtime.processes import LoadingProcess, keep_in_forks
from s2t_runtime.sessions.engines.binding import bind_input
from s2t_runtime.sessions.engines.buffers import allocate, nbytes, size_of
from s2t_runtime.sessions.engines.decoding import EngineDecoding
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.engines.executor import Block, Executor, Program
from s2t_runtime.sessions.profiles.limits import ENCODER, WITH_PAST
from s2t_runtime.sessions.protocol import Float32, Int64, Request


@dataclass(frozen=True)
class EncodedOnDevice:
    """Encoded utterances: what every decoder step attends to.

    Attributes:
        batch: utterances.
        frames: of the longest.
        memory: encoder_mask, cross_key.N, cross_value.N -> address, dense for this many frames.
    """

    batch: int
    frames: int
    memory: Mapping[str, int]


class EngineSession:
    """The engines of one folder, on an executor that this session owns."""

    def __init__(self, engines: EngineSet, executor: Executor, *, padding_safe: bool) -> None:
        """Allocate all memory.

        Args:
            engines: what they accept and return.
            executor: runs them; closed with the session.
            padding_safe: whether utterances of different lengths are encoded in one run, so that
                nothing has to be joined afterwards.

        Raises:
            SessionError: the device has too little memory, or the engines do not fit together.
        """
        self._engines = engines
        self._executor = executor
        self._process = LoadingProcess()
        keep_in_forks(executor)
        self._buffers = allocate(engines, executor, joined=not padding_safe)
        self._turn = threading.Lock()
        self._holder: int | None = None  # the thread whose call is in progress
        self._closing = self._closed = False
        self._used = 0  # utterances that this call has encoded

    @property
    def engines(self) -> EngineSet:
        """What is run."""
        return self._engines

    @property
    def max_candidates(self) -> int:
        """Most candidates per beam, by the decoder's profiles."""
        decoders = [graph for graph in self._engines.records if graph != ENCODER]
        return min(self._engines.limits.largest(graph, "candidates") for graph in decoders)

    @contextlib.contextmanager
    def decoding(self, request: Request) -> Iterator[None]:
        """Hold the device's memory for one call; other threads wait.

        Raises:
            AudioError, OptionError: the request is outside every profile.
            SessionError: this thread is in the middle of another call, from a callback of which it asks; or this is a
                fork of the process that loaded the engines.
            ClosedError: the session was closed.
        """
        self._process.check()  # first: a fork may have found the lock taken, by a thread that it has not
        if self._holder == threading.get_ident():
            raise SessionError(
                "generate was called from a callback of generate, but engines have one set of buffers: decode "
                "after the first call has returned, or use provider 'cpu'"
            )
        self._engines.limits.check(request)
        try:
            with self._turn:
                if self._closing:
                    raise ClosedError
                self._holder, self._used = threading.get_ident(), 0
                try:
                    yield
                finally:
                    self._holder = None
        finally:
            if self._closing:  # asked for while the memory was in use
                self.close()

    def encode(self, audio: Float32, lengths: Int64) -> EncodedOnDevice:
        """Run the encoder's engine.

        Args:
            audio: float32 [batch, samples], zero behind each utterance's end.
            lengths: int64 [batch].

        Raises:
            AudioError, OptionError: outside every profile.
            SessionError: TensorRT failed.
        """
        batch, samples = audio.shape
        record, buffers = self._engines.records[ENCODER], self._buffers
        program = Program(ENCODER, self._engines.limits.pick(ENCODER, {"batch": batch, "samples": samples}))
        arrays: dict[str, NDArray[Any]] = {"audio": audio, "audio_lengths": lengths}
        for tensor in record.inputs:
            address = buffers.audio[tensor.name].address
            bind_input(self._executor, program, tensor, arrays[tensor.name], address)
        memory = {
            name: place.address + self._used * buffers.utterance_strides[name]
            for name, place in buffers.encoded.items()
        }
        for name, address in {"encoder_states": buffers.states.address, **memory}.items():
            self._executor.set_address(program, name, address)
        frames = self._executor.enqueue(program)["encoder_mask"][1]
        self._executor.synchronise()
        self._used += batch
        return EncodedOnDevice(batch, frames, memory)

    def stack(self, parts: Sequence[EncodedOnDevice]) -> EncodedOnDevice:
        """Join encoded utterances into one decoder batch, padded with zeros to the longest, on the device."""
        if len(parts) == 1:
            return parts[0]
        stacked = self._buffers.stacked
        frames = max(part.frames for part in parts)
        for tensor in self._engines.records[WITH_PAST].inputs:
            if tensor.name in stacked:
                self._join(tensor, stacked[tensor.name].address, parts, frames)
        self._executor.synchronise()
        memory = {name: place.address for name, place in stacked.items()}
        return EncodedOnDevice(sum(part.batch for part in parts), frames, memory)

    def start(self, encoded: EncodedOnDevice) -> EngineDecoding:
        """Begin to decode these utterances."""
        return EngineDecoding(
            self._engines, self._executor, self._buffers, encoded.memory, encoded.batch, encoded.frames
        )

    def close(self) -> None:
        """Free the device's memory: now, or once the call in progress has ended; in a fork, never."""
        self._closing = True
        if self._process.left:
            return  # the memory is the parent's
        if not self._turn.acquire(blocking=False):
            return  # the call in progress closes on its way out
        try:
            if not self._closed:
                self._closed = True
                self._executor.__exit__(None, None, None)
        finally:
            self._turn.release()

    def _join(self, tensor: BoundTensor, target: int, parts: Sequence[EncodedOnDevice], frames: int) -> None:
        """Copy each part's [utterances, ..., frames, ...] into one dense tensor of more frames."""
        at = tensor.axes.index("frames")
        outer, inner = size_of(tensor.axes[1:at]), nbytes(tensor.dtype, tensor.axes[at + 1 :])
        pitch = frames * inner
        for part in parts:
            width, missing = part.frames * inner, (frames - part.frames) * inner
            source = part.memory[tensor.name]
            self._executor.copy(target, source, Block(part.batch * outer, width, pitch, width))
            for utterance in range(part.batch if missing else 0):
                # Attention gives these frames no weight, but zero times what lies there may be no number.
                at_end = target + utterance * outer * pitch + width
                zeros = Block(outer, missing, pitch, missing)
                self._executor.copy(at_end, self._buffers.zeros.address, zeros)
            target += part.batch * outer * pitch
