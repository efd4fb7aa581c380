"""Stand-ins for the modules tensorrt_rtx and cuda.bindings.runtime, with the host's memory as the device's.

They have the calls that ``tensorrt.executor`` makes and no others; the tests compare their names with the real
bindings. What a plan computes is the ONNX graph whose path it holds, by ONNX Runtime on the CPU.
"""

# ruff: noqa: ARG002, N802, N815 - the names are NVIDIA's

from __future__ import annotations

import ctypes
import enum
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.sessions.engines.executor import ALIGNMENT, NUMPY_TYPES

CudaError = enum.IntEnum("CudaError", {"cudaSuccess": 0, "cudaErrorMemoryAllocation": 2})
CopyKind = enum.IntEnum(
    "CopyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2, "cudaMemcpyDeviceToDevice": 3}
)
OK = CudaError["cudaSuccess"]
Stage = Callable[[], None]


class FakeCuda:
    """cuda.bindings.runtime."""

    cudaError_t = CudaError
    cudaMemcpyKind = CopyKind
    cudaStreamNonBlocking = 1
    cudaDeviceAttr = SimpleNamespace(
        cudaDevAttrComputeCapabilityMajor="major", cudaDevAttrComputeCapabilityMinor="minor"
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")

    def __init__(self, capability: tuple[int, int] = (8, 9), room: int = 2**30) -> None:
        self.capability = {"major": capability[0], "minor": capability[1]}
        self.memory: dict[int, Any] = {}
        self.room = room
        self.streams: set[int] = set()
        self.capturing: list[Stage] | None = None
        self.launches = 0
        self.graphs: dict[int, list[Stage]] = {}

    def cudaGetErrorString(self, error: Any) -> tuple[Any, bytes]:
        return OK, b"out of memory"

    def cudaGetDevice(self) -> tuple[Any, int]:
        return OK, 0

    def cudaSetDevice(self, device: int) -> tuple[Any]:
        assert device == 0
        return (OK,)

    def cudaDeviceGetAttribute(self, attribute: str, device: int) -> tuple[Any, int]:
        return OK, self.capability[attribute]

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, Any]:
        return OK, SimpleNamespace(name=b"NVIDIA L4\0\0")

    def cudaMalloc(self, size: int) -> tuple[Any, int | None]:
        if size > self.room:
            return CudaError["cudaErrorMemoryAllocation"], None
        self.room -= size
        block = ctypes.create_string_buffer(b"\xcd" * (size + ALIGNMENT))
        address = -(-ctypes.addressof(block) // ALIGNMENT) * ALIGNMENT
        self.memory[address] = block
        return OK, address

    def cudaFree(self, address: int) -> tuple[Any]:
        del self.memory[address]
        return (OK,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: int) -> tuple[Any]:
        assert stream in self.streams
        ctypes.memmove(target, source, size)
        return (OK,)

    def cudaMemcpy2DAsync(
        self, target: int, pitch: int, source: int, source_pitch: int, width: int, rows: int, *_: Any
    ) -> tuple[Any]:
        assert width <= pitch
        assert width <= source_pitch
        for row in range(rows):
            ctypes.memmove(target + row * pitch, source + row * source_pitch, width)
        return (OK,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, int]:
        assert flags == self.cudaStreamNonBlocking
        self.streams.add(7)
        return OK, 7

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any]:
        assert stream in self.streams
        return (OK,)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any]:
        self.streams.remove(stream)
        return (OK,)

    def cudaStreamBeginCapture(self, stream: int, mode: str) -> tuple[Any]:
        self.capturing = []
        return (OK,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, Any]:
        captured, self.capturing = self.capturing, None
        return OK, captured

    def cudaGraphInstantiate(self, graph: list[Stage], flags: int) -> tuple[Any, int]:
        self.graphs[len(self.graphs) + 1] = graph
        return OK, len(self.graphs)

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any]:
        return (OK,)

    def cudaGraphExecDestroy(self, graph: int) -> tuple[Any]:
        self.graphs[graph] = []
        return (OK,)

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[Any]:
        self.launches += 1
        for stage in self.graphs[graph]:
            stage()
        return (OK,)


class FakeContext:
    """IExecutionContext."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._profile = -1
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._found: dict[str, Any] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._profile = profile_index
        return profile_index < self._engine.num_optimization_profiles

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory in self._engine._cuda.memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        axes = self._engine._tensors[name].axes
        ranges = self._engine._record.profiles[self._profile].axes
        fits = all(
            ranges[axis].min <= size <= ranges[axis].max if isinstance(axis, str) else size == axis
            for axis, size in zip(axes, shape, strict=True)
        )
        self._shapes[name] = shape
        if not fits:
            self._engine._log.log(self._engine._trt.ILogger.Severity.ERROR, f"{name} is out of range")
        return fits

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def infer_shapes(self) -> list[str]:
        record = self._engine._record
        missing = [tensor.name for tensor in record.inputs if tensor.axes and tensor.name not in self._shapes]
        missing += [tensor.name for tensor in record.inputs if tensor.name not in self._addresses]
        if not missing:
            feeds = {
                tensor.name: self._at(tensor.name, self._shapes.get(tensor.name, ()))
                for tensor in record.inputs
            }
            names = [tensor.name for tensor in record.outputs]
            results = self._engine._session.run(names, feeds)
            self._found = dict(zip(names, results, strict=True))
        return missing

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._found[name].shape)

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda = self._engine._cuda
        found, addresses = dict(self._found), dict(self._addresses)

        def stage() -> None:
            for name, array in found.items():
                ctypes.memmove(addresses[name], np.ascontiguousarray(array).ctypes.data, array.nbytes)

        if cuda.capturing is None:
            stage()
        else:
            cuda.capturing.append(stage)
        return True

    def _at(self, name: str, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(NUMPY_TYPES[self._engine._tensors[name].dtype])
        size = math.prod(shape) * dtype.itemsize
        data = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(bytes(data), dtype=dtype).reshape(shape)


class FakeRuntimeConfig:
    """IRuntimeConfig."""

    def __init__(self) -> None:
        self.cuda_graph_strategy = "unset"
        self.allocation = "unset"
        self.cache: Any = None

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        self.allocation = strategy

    def create_runtime_cache(self) -> FakeRuntimeCache:
        return FakeRuntimeCache()

    def set_runtime_cache(self, cache: FakeRuntimeCache) -> bool:
        self.cache = cache
        return True


class FakeRuntimeCache:
    """IRuntimeCache."""

    def __init__(self) -> None:
        self.read = b""

    def deserialize(self, blob: bytes) -> bool:
        self.read = bytes(blob)
        return blob != b"stale"

    def serialize(self) -> bytes:
        return b"compiled kernels"


class FakeEngine:
    """ICudaEngine."""

    def __init__(self, trt: FakeTensorRt, cuda: FakeCuda, log: Any, record: EngineRecord, path: Path) -> None:
        self._trt, self._cuda, self._log, self._record = trt, cuda, log, record
        self._tensors = {tensor.name: tensor for tensor in (*record.inputs, *record.outputs)}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.num_io_tensors = len(self._tensors)
        self.num_optimization_profiles = len(record.profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        names = {"float32": "FLOAT", "float16": "HALF", "int64": "INT64", "bool": "BOOL"}
        return SimpleNamespace(name=names[self._tensors[name].dtype])

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in {tensor.name for tensor in self._record.inputs} else "output"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis if isinstance(axis, int) else -1 for axis in self._tensors[name].axes)

    def get_tensor_location(self, name: str) -> str:
        return "host" if name == "candidates" else "device"

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return 1000 * (profile_index + 1)

    def create_runtime_config(self) -> FakeRuntimeConfig:
        self._trt.configurations.append(FakeRuntimeConfig())
        return self._trt.configurations[-1]

    def create_execution_context(self, how: Any) -> FakeContext | None:
        self._trt.contexts.append(how)
        return FakeContext(self)


class FakeRuntime:
    """Runtime."""

    trt: FakeTensorRt

    def __init__(self, logger: Any) -> None:
        self._log = logger
        self.engine_header_size = 4

    def get_engine_validity(self, buffer: bytes) -> tuple[Any, int]:
        assert len(buffer) <= self.engine_header_size
        return self.trt.validity

    def deserialize_cuda_engine(self, serialized_engine: Any) -> FakeEngine | None:
        graph = bytes(serialized_engine).decode()
        if graph not in self.trt.graphs:
            self._log.log(self.trt.ILogger.Severity.ERROR, "the plan holds\n nothing")
            return None
        record, path = self.trt.graphs[graph]
        return FakeEngine(self.trt, self.trt.cuda, self._log, record, path)


class FakeLogger:
    Severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])


class FakeTensorRt:
    """The module; a plan is a graph's name."""

    __version__ = "1.7.1.116"
    ILogger = FakeLogger
    EngineValidity = enum.Enum("EngineValidity", ["VALID", "SUBOPTIMAL", "INVALID"])
    EngineInvalidityDiagnostics = enum.IntEnum(
        "EngineInvalidityDiagnostics", {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2}
    )
    CudaGraphStrategy = SimpleNamespace(DISABLED="disabled", WHOLE_GRAPH_CAPTURE="whole")
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user")
    TensorLocation = SimpleNamespace(HOST="host", DEVICE="device")
    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")

    def __init__(self, cuda: FakeCuda, graphs: dict[str, tuple[EngineRecord, Path]]) -> None:
        self.cuda, self.graphs = cuda, graphs
        self.validity: tuple[Any, int] = (self.EngineValidity["VALID"], 0)
        self.configurations: list[FakeRuntimeConfig] = []
        self.contexts: list[Any] = []
        self.Runtime = type("FakeRuntime", (FakeRuntime,), {"trt": self})


REAL = {
    "Runtime": FakeRuntime,
    "ICudaEngine": FakeEngine,
    "IExecutionContext": FakeContext,
    "IRuntimeConfig": FakeRuntimeConfig,
    "IRuntimeCache": FakeRuntimeCache,
}
"""Class of the real bindings -> its stand-in."""
