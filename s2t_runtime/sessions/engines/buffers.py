"""Device memory of an engine session: allocated once, for the largest sizes of the engines' profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from s2t_runtime.bundles.engine_record import BoundTensor, Profile
from s2t_runtime.errors import SessionError
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.engines.executor import ALIGNMENT, NUMPY_TYPES, Block, Executor
from s2t_runtime.sessions.profiles.limits import ENCODER, WITH_PAST

_SCORES: Final = ("logits", "candidate_log_probs", "candidate_ids")


@dataclass(frozen=True)
class Memory:
    """One tensor's place on the device.

    Attributes:
        address: of its first byte.
        size: bytes that may be used.
    """

    address: int
    size: int


@dataclass(frozen=True)
class Buffers:
    """The places of all inputs and outputs.

    Attributes:
        audio: the encoder's inputs, by name.
        states: the encoder's ``encoder_states``, which no decoder reads but TensorRT must write.
        encoded: encoder_mask, cross_key.N, cross_value.N as the encoder writes them. A run for a few
            utterances may write behind what earlier runs left, ``utterance_strides`` apart.
        stacked: the same for one decoder batch joined from several runs; empty where one run
            encodes the whole batch.
        utterance_strides: bytes of one utterance in ``encoded``, by name.
        decoder: input_ids, beam_index, logits, candidate_log_probs and candidate_ids, by name.
        zeros: as many zero bytes as one utterance's largest tensor in ``stacked`` has; filled by ``allocate``.
        caches: two sets of keys and values, by the name of the input (past_key.N, past_value.N); each
            step reads one and writes the other.
    """

    audio: Mapping[str, Memory]
    states: Memory
    encoded: Mapping[str, Memory]
    stacked: Mapping[str, Memory]
    utterance_strides: Mapping[str, int]
    zeros: Memory
    decoder: Mapping[str, Memory]
    caches: tuple[Mapping[str, Memory], Mapping[str, Memory]]


def allocate(engines: EngineSet, executor: Executor, *, joined: bool) -> Buffers:
    """Allocate the buffers of an engine session.

    Args:
        engines: whose profiles say how large tensors can become.
        executor: owns the memory.
        joined: encoder runs of single utterances are to be joined into one decoder batch.

    Raises:
        SessionError: the engines do not fit together, or the device has too little memory.
    """
    encoder, decoder = engines.records[ENCODER], engines.records[WITH_PAST]
    largest = _largest(engines)

    def place(tensor: BoundTensor) -> Memory:
        return _place(executor, nbytes(tensor.dtype, _shape(tensor, largest)))

    outputs = {tensor.name: tensor for tensor in encoder.outputs}
    attended = {tensor.name: tensor for tensor in decoder.inputs if tensor.name in outputs}
    _check_types(attended, outputs)
    strides = {name: _stride(tensor, largest) for name, tensor in attended.items()}
    batch = largest["batch"]
    past = [tensor for tensor in decoder.inputs if tensor.name.startswith("past_")]
    heads = {tensor.name: tensor for tensor in (*decoder.inputs, *decoder.outputs)}
    return Buffers(
        audio={tensor.name: place(tensor) for tensor in encoder.inputs},
        states=place(outputs["encoder_states"]),
        encoded={name: _place(executor, batch * stride) for name, stride in strides.items()},
        stacked={name: place(tensor) for name, tensor in attended.items()} if joined else {},
        utterance_strides=strides,
        zeros=_zeros(executor, max(strides.values()) if joined else 0),
        decoder={name: place(heads[name]) for name in ("input_ids", "beam_index", *_SCORES)},
        caches=(
            {tensor.name: place(tensor) for tensor in past},
            {tensor.name: place(tensor) for tensor in past},
        ),
    )


def nbytes(dtype: str, shape: tuple[str | int, ...]) -> int:
    """Bytes of a dense tensor of fixed shape."""
    return size_of(shape) * np.dtype(NUMPY_TYPES[dtype]).itemsize


def size_of(shape: tuple[str | int, ...]) -> int:
    """Elements of a tensor of fixed shape."""
    return math.prod(axis for axis in shape if isinstance(axis, int))


def _largest(engines: EngineSet) -> dict[str, int]:
    """The largest value of every axis that a bound tensor has, over all graphs and profiles."""
    largest: dict[str, int] = {}
    for record in engines.records.values():
        for profile in record.profiles:
            for name, limit in _maxima(profile).items():
                largest[name] = max(limit, largest.get(name, 0))
    # A run of the first-step engine leaves as many tokens in the cache as the prompt has.
    longest = max(largest["past"] + 1, largest.get("new", 1), largest.get("prompt", 1))
    widest = max(largest.get("new", 1), largest.get("prompt", 1))
    rows = max(largest["rows"], largest["batch"] * largest["beams"])
    return {**largest, "new": widest, "total": longest, "past": longest, "rows": rows, "batch_beams": rows}


def _maxima(profile: Profile) -> dict[str, int]:
    return {name: found.max for name, found in (*profile.axes.items(), *profile.values.items())}


def _shape(tensor: BoundTensor, largest: Mapping[str, int]) -> tuple[int, ...]:
    unknown = [axis for axis in tensor.axes if isinstance(axis, str) and axis not in largest]
    if unknown:
        raise SessionError(
            f"no profile of the engines limits axis {unknown[0]} of {tensor.name}: compile-s2t BUNDLE --force"
        )
    return tuple(largest[axis] if isinstance(axis, str) else axis for axis in tensor.axes)


def _place(executor: Executor, size: int) -> Memory:
    size = max(_aligned(size), ALIGNMENT)  # an empty tensor has an address as well
    return Memory(executor.allocate(size), size)


def _zeros(executor: Executor, size: int) -> Memory:
    place = _place(executor, size)
    executor.copy(place.address, np.zeros(place.size, dtype=np.uint8), Block.of(place.size))
    return place


def _stride(tensor: BoundTensor, largest: Mapping[str, int]) -> int:
    return _aligned(nbytes(tensor.dtype, _shape(tensor, largest)[1:]))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _check_types(attended: Mapping[str, BoundTensor], outputs: Mapping[str, BoundTensor]) -> None:
    for name, tensor in attended.items():
        if tensor.dtype != outputs[name].dtype:
            raise SessionError(
                f"the encoder's engine writes {name} as {outputs[name].dtype} and the decoder's reads "
                f"{tensor.dtype}: compile-s2t BUNDLE --force"
            )
