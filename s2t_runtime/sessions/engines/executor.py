"""The calls through which engines are run: all that ``engines.session`` knows of a device.

``tensorrt.libraries`` implements them with TensorRT and CUDA. Whatever is enqueued or copied towards
the device happens later, in the order of the calls; the host waits for it with ``synchronise``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

ALIGNMENT: Final = 256
"""Bytes; TensorRT wants every address that it is given to be a multiple of it."""

Place: TypeAlias = int | NDArray[Any]
"""Either end of a copy: an address on the device, or a C-contiguous array of the host."""

NUMPY_TYPES: Final[Mapping[str, type[np.generic]]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int64": np.int64,
    "bool": np.bool_,
}
"""dtype in a record -> numpy's type of the same bytes."""


@dataclass(frozen=True)
class Program:
    """One graph's engine under one of its profiles.

    Attributes:
        graph: "encoder", "decoder_with_past" or "decoder_first_step".
        profile: TensorRT's index of the profile, which is its place in the engine's record.
    """

    graph: str
    profile: int


@dataclass(frozen=True)
class Block:
    """What a copy moves: ``rows`` pieces of ``width`` bytes, ``pitch`` bytes apart at either end."""

    rows: int
    width: int
    target_pitch: int
    source_pitch: int

    @classmethod
    def of(cls, size: int) -> Block:
        """``size`` bytes in one piece."""
        return cls(1, size, size, size)


class Executor(AbstractContextManager["Executor", None], Protocol):
    """Runs programs on device memory that it owns; leaving the context frees all of it.

    Shapes and addresses stay set from one ``enqueue`` of a program to the next. Every method raises
    SessionError where the device or TensorRT refuses.
    """

    def allocate(self, size: int) -> int:
        """Reserve ``size`` bytes until the executor is closed; returns an aligned address."""

    def copy(self, target: Place, source: Place, block: Block) -> None:
        """Copy bytes to the device, within it, or back.

        Towards the device and within it the copy is queued, and the host's array may be used again
        at once. Back to the host it happens now, so nothing that is queued may write what it reads:
        synchronise first.
        """

    def set_shape(self, program: Program, name: str, shape: tuple[int, ...]) -> None:
        """Set the shape of an input for the next ``enqueue``."""

    def set_shape_value(self, program: Program, name: str, value: int) -> None:
        """Set the value of a scalar input that decides shapes; TensorRT reads it on the host."""

    def set_address(self, program: Program, name: str, address: int) -> None:
        """Say where on the device an input or output lies."""

    def enqueue(self, program: Program) -> Mapping[str, tuple[int, ...]]:
        """Queue one run.

        Returns:
            The shape of every output, which TensorRT knows before the run.
        """

    def synchronise(self) -> None:
        """Wait until nothing is queued."""
