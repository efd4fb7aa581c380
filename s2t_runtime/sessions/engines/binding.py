"""Hands inputs to an engine and takes outputs back: bytes, shape and address in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.bundles.engine_record import BoundTensor
from s2t_runtime.sessions.engines.executor import NUMPY_TYPES, Block, Executor, Program


def bind_input(
    executor: Executor, program: Program, tensor: BoundTensor, array: NDArray[Any], address: int
) -> None:
    """Copy an array of the host to the device and bind it.

    Args:
        executor: runs the program.
        program: the engine and its profile.
        tensor: the input.
        array: its value, converted to the input's type where that differs.
        address: where it goes.
    """
    dense = np.ascontiguousarray(array, dtype=NUMPY_TYPES[tensor.dtype])
    executor.copy(address, dense, Block.of(dense.nbytes))
    bind_shaped(executor, program, tensor.name, array.shape, address)


def bind_shaped(
    executor: Executor, program: Program, name: str, shape: tuple[int, ...], address: int
) -> None:
    """Bind an input that lies on the device already."""
    executor.set_shape(program, name, shape)
    executor.set_address(program, name, address)


def read(executor: Executor, dtype: str, shape: tuple[int, ...], address: int) -> NDArray[Any]:
    """Copy an output to the host; nothing may be queued that writes it."""
    array = np.empty(shape, dtype=NUMPY_TYPES[dtype])
    executor.copy(array, address, Block.of(array.nbytes))
    return array
