"""A test double of the device behind ``engines.session``: engines become the ONNX graphs they are built from.

It has the same calls and really moves bytes between buffers of its own, and it refuses what a device would
answer with rubbish. What it computes is ONNX Runtime's on the CPU: it says whether the session binds the
right memory in the right order, nothing of TensorRT's numbers, and it replaces no test on a GPU.

It refuses: inputs or outputs without address, addresses outside an allocation, outputs that overlap other
tensors, types other than the record's, shapes and values outside the profile, unwritten memory as an
input, and reading what a pending call writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from s2t_runtime.bundles.engine_record import BoundTensor, EngineRecord
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.engines.executor import ALIGNMENT, NUMPY_TYPES, Block, Place, Program

POISON = 0xCD


class RefusedError(AssertionError):
    """The session did what no device may be asked to do."""


@dataclass
class Allocation:
    address: int
    data: NDArray[np.uint8]
    dtypes: dict[int, str] = field(default_factory=dict)  # where a tensor begins -> its type
    pending: list[tuple[int, int]] = field(default_factory=list)  # ranges written since synchronise


@dataclass
class Bound:
    """What is set for one program."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)


class ExecutorDouble:
    def __init__(self, engines: EngineSet, graphs: Mapping[str, Path]) -> None:
        self.records = engines.records
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._sessions = {
            name: ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for name, path in graphs.items()
            if name in engines.records
        }
        self._allocations: list[Allocation] = []
        self._bound: dict[Program, Bound] = {}
        self._next = 0x7F00_0000_0000
        self.enqueued: list[Program] = []
        self.closed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed += 1
        self._allocations.clear()

    @property
    def allocated(self) -> int:
        """Bytes."""
        return sum(allocation.data.size for allocation in self._allocations)

    def allocate(self, size: int) -> int:
        address = self._next
        self._allocations.append(Allocation(address, np.full(size, POISON, dtype=np.uint8)))
        self._next += -(-size // ALIGNMENT) * ALIGNMENT + ALIGNMENT  # a gap, so that an overrun is seen
        return address

    def copy(self, target: Place, source: Place, block: Block) -> None:
        if not isinstance(target, int):
            assert isinstance(source, int), "a copy from host to host"
            assert block.rows == 1
            assert target.flags.c_contiguous
            assert target.nbytes == block.width, "the array has another size than the copy"
            target.reshape(-1).view(np.uint8)[:] = self._read(source, block.width, target.dtype)
        elif isinstance(source, int):
            dtype = self._dtype(source)
            for row in range(block.rows):
                piece = self._find(source + row * block.source_pitch, block.width)
                self._write(target + row * block.target_pitch, piece.copy(), dtype)
        else:
            assert block.rows == 1
            assert source.nbytes == block.width, "the array has another size than the copy"
            self._write(target, source.reshape(-1).view(np.uint8), str(source.dtype))

    def set_shape(self, program: Program, name: str, shape: tuple[int, ...]) -> None:
        tensor = self._input(program, name)
        if len(shape) != len(tensor.axes):
            raise RefusedError(f"{name} has axes {tensor.axes}, got shape {shape}")
        ranges = self.records[program.graph].profiles[program.profile].axes
        for axis, size in zip(tensor.axes, shape, strict=True):
            if isinstance(axis, int) and size != axis:
                raise RefusedError(f"{name} has axes {tensor.axes}, got shape {shape}")
            if isinstance(axis, str) and not ranges[axis].min <= size <= ranges[axis].max:
                raise RefusedError(
                    f"{axis} of {name} is {size}, outside profile {program.profile}: {ranges[axis]}"
                )
        self._of(program).shapes[name] = shape

    def set_shape_value(self, program: Program, name: str, value: int) -> None:
        self._input(program, name)
        limit = self.records[program.graph].profiles[program.profile].values[name]
        if not limit.min <= value <= limit.max:
            raise RefusedError(f"{name} is {value}, outside profile {program.profile}: {limit}")
        self._of(program).values[name] = value

    def set_address(self, program: Program, name: str, address: int) -> None:
        record = self.records[program.graph]
        if name not in {tensor.name for tensor in (*record.inputs, *record.outputs)}:
            raise RefusedError(f"{program.graph} has no tensor {name}")
        if address % ALIGNMENT:
            raise RefusedError(f"the address of {name} is not a multiple of {ALIGNMENT}")
        self._of(program).addresses[name] = address

    def enqueue(self, program: Program) -> Mapping[str, tuple[int, ...]]:
        record, bound = self.records[program.graph], self._of(program)
        feeds = {tensor.name: self._feed(bound, tensor) for tensor in record.inputs}
        self._check_axes(record, bound)
        names = [tensor.name for tensor in record.outputs]
        results = dict(zip(names, self._sessions[program.graph].run(names, feeds), strict=True))
        taken = [(bound.addresses[name], array.nbytes) for name, array in feeds.items() if array.shape]
        for tensor in record.outputs:
            array = np.ascontiguousarray(results[tensor.name])
            if tensor.name not in bound.addresses:
                raise RefusedError(f"no address is set for output {tensor.name} of {program.graph}")
            address = bound.addresses[tensor.name]
            if str(array.dtype) != tensor.dtype:
                raise RefusedError(f"{tensor.name} is {array.dtype}, the record says {tensor.dtype}")
            for start, size in taken:
                if address < start + size and start < address + array.nbytes:
                    raise RefusedError(f"output {tensor.name} of {program.graph} overlaps another tensor")
            taken.append((address, array.nbytes))
            self._write(address, array.reshape(-1).view(np.uint8), tensor.dtype)
        self.enqueued.append(program)
        return {name: tuple(array.shape) for name, array in results.items()}

    def synchronise(self) -> None:
        for allocation in self._allocations:
            allocation.pending.clear()

    def _of(self, program: Program) -> Bound:
        return self._bound.setdefault(program, Bound())

    def _input(self, program: Program, name: str) -> BoundTensor:
        for tensor in self.records[program.graph].inputs:
            if tensor.name == name:
                return tensor
        raise RefusedError(f"{program.graph} has no input {name}")

    def _feed(self, bound: Bound, tensor: BoundTensor) -> NDArray[Any]:
        dtype = np.dtype(NUMPY_TYPES[tensor.dtype])
        if not tensor.axes:
            if tensor.name not in bound.values:
                raise RefusedError(f"no value is set for {tensor.name}")
            return np.array(bound.values[tensor.name], dtype=dtype)
        if tensor.name not in bound.shapes:
            raise RefusedError(f"no shape is set for {tensor.name}")
        if tensor.name not in bound.addresses:
            raise RefusedError(f"no address is set for input {tensor.name}")
        shape, address = bound.shapes[tensor.name], bound.addresses[tensor.name]
        size = math.prod(shape) * dtype.itemsize
        data = self._find(address, size)
        if size and self._dtype(address) != tensor.dtype:
            raise RefusedError(f"{tensor.name} is {tensor.dtype}, its memory holds {self._dtype(address)}")
        return data.copy().view(dtype).reshape(shape)

    def _check_axes(self, record: EngineRecord, bound: Bound) -> None:
        sizes: dict[str, int] = {}
        for tensor in record.inputs:
            for axis, size in zip(tensor.axes, bound.shapes.get(tensor.name, ()), strict=True):
                if isinstance(axis, str) and sizes.setdefault(axis, size) != size:
                    raise RefusedError(f"{axis} is {sizes[axis]} and, in {tensor.name}, {size}")

    def _allocation(self, address: int, size: int) -> tuple[Allocation, int]:
        for allocation in self._allocations:
            start = address - allocation.address
            if start >= 0 and start + size <= allocation.data.size:
                return allocation, start
        raise RefusedError(f"{size} bytes at {address:#x} are in no allocation")

    def _find(self, address: int, size: int) -> NDArray[np.uint8]:
        allocation, start = self._allocation(address, size)
        return allocation.data[start : start + size]

    def _dtype(self, address: int) -> str:
        """The type of the tensor that begins here, or of the last one that begins before."""
        allocation, start = self._allocation(address, 0)
        begun = [begin for begin in allocation.dtypes if begin <= start]
        if not begun:
            raise RefusedError(f"the memory at {address:#x} was never written")
        return allocation.dtypes[max(begun)]

    def _read(self, address: int, size: int, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
        allocation, start = self._allocation(address, size)
        if any(start < end and begin < start + size for begin, end in allocation.pending):
            raise RefusedError("the host reads what a pending call writes: synchronise first")
        if self._dtype(address) != str(dtype):
            raise RefusedError(f"the host reads {dtype}, the memory holds {self._dtype(address)}")
        return allocation.data[start : start + size]

    def _write(self, address: int, data: NDArray[np.uint8], dtype: str) -> None:
        allocation, start = self._allocation(address, data.size)
        allocation.data[start : start + data.size] = data
        allocation.dtypes[start] = dtype
        allocation.pending.append((start, start + data.size))
