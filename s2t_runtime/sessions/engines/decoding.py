"""One decoding with engines in progress: a step function over two sets of caches on the device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.bundles.engine_record import BoundTensor
from s2t_runtime.errors import SessionError
from s2t_runtime.processes import LoadingProcess
from s2t_runtime.sessions.engines.binding import bind_input, bind_shaped, read
from s2t_runtime.sessions.engines.buffers import Buffers
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.engines.executor import Executor, Program
from s2t_runtime.sessions.profiles.limits import FIRST_STEP, WITH_PAST
from s2t_runtime.sessions.protocol import Candidates, Int64

_SCORES: Final = ("candidate_log_probs", "candidate_ids", "logits")


class EngineDecoding:
    """A ``StepFunction``: each step reads one set of caches, by the beam index, and writes the other."""

    def __init__(
        self,
        engines: EngineSet,
        executor: Executor,
        buffers: Buffers,
        encoded: Mapping[str, int],
        batch: int,
        frames: int,
    ) -> None:
        """Begin with empty caches.

        Args:
            engines: what they accept and return.
            executor: runs them.
            buffers: everything's place on the device.
            encoded: encoder_mask, cross_key.N, cross_value.N -> address.
            batch: utterances.
            frames: of the longest.
        """
        self._engines = engines
        self._executor = executor
        self._buffers = buffers
        self._encoded = encoded
        self._batch, self._frames = batch, frames
        self._process = LoadingProcess()
        self._rows, self._past = batch, 0
        self._newest = 0  # which set of caches holds the tokens so far
        self.step_times_s: list[float] = []

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        """See ``StepFunction``.

        Raises:
            AudioError, OptionError: the step is outside every profile.
            SessionError: beam_index points outside the cache, TensorRT failed, or a callback has forked and this is
                the child.
        """
        started_s = time.perf_counter()
        self._process.check()
        self._check_rows(beam_index)
        batch, beams, new = tokens.shape
        graph = FIRST_STEP if self._past == 0 and FIRST_STEP in self._engines.records else WITH_PAST
        program = Program(graph, self._engines.limits.pick(graph, self._sizes(graph, tokens, candidates)))
        self._bind_inputs(program, {"input_ids": tokens, "beam_index": beam_index}, candidates)
        self._bind_outputs(program)
        shapes = self._executor.enqueue(program)
        self._executor.synchronise()
        fetched = {name: self._read(name, shapes[name]) for name in _SCORES[: 3 if with_logits else 2]}
        self._rows, self._past = batch * beams, self._past + new
        self._newest = 1 - self._newest
        self.step_times_s.append(time.perf_counter() - started_s)
        return Candidates(fetched["candidate_log_probs"], fetched["candidate_ids"], fetched.get("logits"))

    def _check_rows(self, beam_index: Int64) -> None:
        # The engine gathers by these rows without a check of its own.
        if beam_index.min() < 0 or beam_index.max() >= self._rows:
            raise SessionError(
                f"beam_index runs from {beam_index.min()} to {beam_index.max()}, but the cache has "
                f"{self._rows} rows"
            )

    def _sizes(self, graph: str, tokens: Int64, candidates: int) -> dict[str, int]:
        batch, beams, new = tokens.shape
        sizes = {"batch": batch, "frames": self._frames, "candidates": candidates}
        if graph == FIRST_STEP:
            return {**sizes, "prompt": new}
        return {**sizes, "beams": beams, "new": new, "past": self._past, "rows": self._rows}

    def _bind_inputs(self, program: Program, fed: Mapping[str, NDArray[np.int64]], candidates: int) -> None:
        cached = self._buffers.caches[self._newest]
        for tensor in self._engines.records[program.graph].inputs:
            name = tensor.name
            if name == "candidates":
                self._executor.set_shape_value(program, name, candidates)
            elif name in fed:
                address = self._buffers.decoder[name].address
                bind_input(self._executor, program, tensor, fed[name], address)
            else:
                address = cached[name].address if name in cached else self._encoded[name]
                bind_shaped(self._executor, program, name, self._shape(tensor), address)

    def _bind_outputs(self, program: Program) -> None:
        # TensorRT wants an address for every output, for the logits too where nobody reads them.
        written = self._buffers.caches[1 - self._newest]
        for tensor in self._engines.records[program.graph].outputs:
            place = written.get(tensor.name.replace("present_", "past_", 1))
            address = self._buffers.decoder[tensor.name].address if place is None else place.address
            self._executor.set_address(program, tensor.name, address)

    def _shape(self, tensor: BoundTensor) -> tuple[int, ...]:
        sizes = {"batch": self._batch, "frames": self._frames, "rows": self._rows, "past": self._past}
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes)

    def _read(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        outputs = {tensor.name: tensor for tensor in self._engines.records[WITH_PAST].outputs}
        return read(self._executor, outputs[name].dtype, shape, self._buffers.decoder[name].address)
