"""Runs engines with TensorRT on a CUDA stream; the modules of both are handed in by ``tensorrt.libraries``.

Every program, which is an engine under one profile, has an execution context of its own, so that no profile is
switched between steps. All contexts work in one stream, one after the other, and share one block of memory
for their activations.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.errors import SessionError
from s2t_runtime.sessions.engines.choice import EngineHost
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.engines.executor import NUMPY_TYPES, Block, Place, Program
from s2t_runtime.sessions.tensorrt.cuda_calls import CudaCalls
from s2t_runtime.sessions.tensorrt.plan_files import collecting_logger, load_plan
from s2t_runtime.sessions.tensorrt.runtime_caches import RuntimeCacheFile


@dataclass
class _Bound:
    """An execution context and what is set for it."""

    context: Any
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    values: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Shape tensors, in memory of the host that lives as long as TensorRT looks at it."""
    graph: Any = None
    """A captured CUDA graph."""
    captured: object = None
    """What was set when ``graph`` was captured, or at the last run where it is None."""

    def key(self) -> object:
        """All that a captured graph depends on."""
        values = tuple((name, int(value[0])) for name, value in sorted(self.values.items()))
        return tuple(sorted(self.shapes.items())), tuple(sorted(self.addresses.items())), values


class TensorRtExecutor:
    """See ``executor.Executor``."""

    def __init__(
        self, engines: EngineSet, host: EngineHost, trt: Any, cuda: CudaCalls, *, cuda_graphs: bool
    ) -> None:
        """Load the engines.

        Args:
            engines: which, checked against ``host``.
            host: the GPU.
            trt: module ``tensorrt`` or ``tensorrt_rtx``, as the engines want it.
            cuda: the calls of CUDA.
            cuda_graphs: launch kernels as CUDA graphs. TensorRT-RTX captures them by its own strategy; with
                full TensorRT a run is captured that repeats all shapes and addresses of the one before.

        Raises:
            SessionError: an engine cannot be loaded, or memory is too small.
        """
        self._records = engines.records
        self._trt, self._cuda, self._cuda_graphs = trt, cuda, cuda_graphs
        self._rtx = engines.flavour == "tensorrt-rtx"
        self._device = cuda("cudaGetDevice")
        self._stream = cuda("cudaStreamCreateWithFlags", cuda.runtime.cudaStreamNonBlocking)
        self._memory: dict[int, int] = {}  # address -> size
        self._addresses: list[int] = []  # the same, ascending
        self._caches: list[RuntimeCacheFile] = []
        self._bound: dict[Program, _Bound] = {}
        self._log = collecting_logger(trt)
        self._runtime: Any = None
        self._engines: dict[str, Any] = {}
        try:
            self._load(engines, host)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        """Return the executor."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Keep what TensorRT-RTX compiled, and free everything."""
        if self._stream is None:
            return
        self._cuda("cudaSetDevice", self._device)
        for cache in self._caches:
            cache.save()
        for bound in self._bound.values():
            self._drop_graph(bound)
        # In this order: a context needs its engine, an engine its runtime, and all of them the memory.
        self._bound.clear()
        self._caches.clear()
        self._engines.clear()
        self._runtime = None
        for address in self._memory:
            self._cuda("cudaFree", address)
        self._memory.clear()
        stream, self._stream = self._stream, None
        self._cuda("cudaStreamDestroy", stream)

    def allocate(self, size: int) -> int:
        """See ``executor.Executor``; CUDA's addresses are multiples of 256."""
        address = int(self._cuda("cudaMalloc", size))
        self._memory[address] = size
        bisect.insort(self._addresses, address)
        return address

    def copy(self, target: Place, source: Place, block: Block) -> None:
        """See ``executor.Executor``."""
        kinds = self._cuda.runtime.cudaMemcpyKind
        self._cuda("cudaSetDevice", self._device)
        if not isinstance(target, int):
            here = target.ctypes.data
            self._cuda(
                "cudaMemcpyAsync", here, source, block.width, kinds.cudaMemcpyDeviceToHost, self._stream
            )
            self.synchronise()
        elif isinstance(source, int):
            pitches = (block.target_pitch, source, block.source_pitch, block.width, block.rows)
            self._cuda("cudaMemcpy2DAsync", target, *pitches, kinds.cudaMemcpyDeviceToDevice, self._stream)
        else:
            # From memory that is not pinned CUDA takes its copy before it returns.
            here = source.ctypes.data
            self._cuda(
                "cudaMemcpyAsync", target, here, block.width, kinds.cudaMemcpyHostToDevice, self._stream
            )

    def set_shape(self, program: Program, name: str, shape: tuple[int, ...]) -> None:
        """See ``executor.Executor``."""
        bound = self._bound[program]
        if bound.shapes.get(name) != shape:
            if not bound.context.set_input_shape(name, shape):
                raise self._failed(program, f"refused shape {shape} for {name}")
            bound.shapes[name] = shape

    def set_shape_value(self, program: Program, name: str, value: int) -> None:
        """See ``executor.Executor``."""
        bound = self._bound[program]
        if name in bound.values:
            bound.values[name][0] = value
            return
        engine = self._engines[program.graph]
        if engine.get_tensor_location(name) != self._trt.TensorLocation.HOST:
            raise self._failed(program, f"wants {name} on the device: compile-s2t BUNDLE --force")
        bound.values[name] = np.array([value], dtype=np.int64)
        if not bound.context.set_tensor_address(name, bound.values[name].ctypes.data):
            raise self._failed(program, f"refused the value of {name}")

    def set_address(self, program: Program, name: str, address: int) -> None:
        """See ``executor.Executor``."""
        bound = self._bound[program]
        if bound.addresses.get(name) != address:
            if not bound.context.set_tensor_address(name, address):
                raise self._failed(program, f"refused the address of {name}")
            bound.addresses[name] = address

    def enqueue(self, program: Program) -> Mapping[str, tuple[int, ...]]:
        """See ``executor.Executor``.

        Raises:
            SessionError: also where an output would not fit behind its address.
        """
        self._cuda("cudaSetDevice", self._device)
        shapes = self._output_shapes(program)
        if self._cuda_graphs and not self._rtx:
            self._run_captured(program)
        else:
            self._run(program)
        return shapes

    def synchronise(self) -> None:
        """See ``executor.Executor``."""
        self._cuda("cudaStreamSynchronize", self._stream)

    def _load(self, engines: EngineSet, host: EngineHost) -> None:
        self._runtime = self._trt.Runtime(self._log)
        needed = 0
        for graph, record in engines.records.items():
            path = engines.plan_path(graph)
            engine = load_plan(self._trt, self._runtime, self._log, path, record, gpu=host.gpu)
            self._engines[graph] = engine
            config = self._configuration(graph, host) if self._rtx else None
            for index in range(len(record.profiles)):
                needed = max(needed, engine.get_device_memory_size_for_profile_v2(index))
                self._bound[Program(graph, index)] = _Bound(self._context(engine, config, graph, index))
        shared = self.allocate(max(needed, 1))
        for bound in self._bound.values():
            bound.context.set_device_memory(shared, needed)
        self.synchronise()

    def _configuration(self, graph: str, host: EngineHost) -> Any:
        config = self._engines[graph].create_runtime_config()
        strategies = self._trt.CudaGraphStrategy
        config.cuda_graph_strategy = (
            strategies.WHOLE_GRAPH_CAPTURE if self._cuda_graphs else strategies.DISABLED
        )
        managed = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        config.set_execution_context_allocation_strategy(managed)
        cache = config.create_runtime_cache()
        self._caches.append(RuntimeCacheFile(cache, self._records[graph], host.target))
        config.set_runtime_cache(cache)
        return config

    def _context(self, engine: Any, config: Any, graph: str, profile: int) -> Any:
        if config is None:
            context = engine.create_execution_context(
                self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
            )
        else:
            context = engine.create_execution_context(config)
        program = Program(graph, profile)
        if context is None:
            raise self._failed(program, "gave no execution context")
        if not context.set_optimization_profile_async(profile, int(self._stream)):
            raise self._failed(program, "refused the profile")
        return context

    def _output_shapes(self, program: Program) -> dict[str, tuple[int, ...]]:
        bound = self._bound[program]
        try:
            missing = bound.context.infer_shapes()
        except RuntimeError as error:
            raise self._failed(program, f"cannot infer its shapes ({error})") from error
        if missing:
            raise self._failed(program, f"lacks {', '.join(missing)}")
        shapes = {}
        for tensor in self._records[program.graph].outputs:
            shape = tuple(int(size) for size in bound.context.get_tensor_shape(tensor.name))
            size = math.prod(shape) * np.dtype(NUMPY_TYPES[tensor.dtype]).itemsize
            room = self._room(bound.addresses.get(tensor.name, 0))
            if min(shape, default=0) < 0 or size > room:
                raise self._failed(program, f"would write {shape} to {tensor.name}, which has {room} bytes")
            shapes[tensor.name] = shape
        return shapes

    def _room(self, address: int) -> int:
        """Bytes from an address to the end of its allocation; 0 where it is in none."""
        index = bisect.bisect_right(self._addresses, address) - 1
        if index < 0:
            return 0
        start = self._addresses[index]
        return max(0, start + self._memory[start] - address)

    def _run(self, program: Program) -> None:
        if not self._bound[program].context.execute_async_v3(int(self._stream)):
            raise self._failed(program, "failed")

    def _run_captured(self, program: Program) -> None:
        bound = self._bound[program]
        key = bound.key()
        if key != bound.captured:
            self._drop_graph(bound)
            bound.captured = key
            self._run(program)  # TensorRT wants a plain run after every change of shapes
            return
        if bound.graph is None:
            modes = self._cuda.runtime.cudaStreamCaptureMode
            self._cuda("cudaStreamBeginCapture", self._stream, modes.cudaStreamCaptureModeThreadLocal)
            try:
                self._run(program)
            finally:
                graph = self._cuda("cudaStreamEndCapture", self._stream)
            bound.graph = self._cuda("cudaGraphInstantiate", graph, 0)
            self._cuda("cudaGraphDestroy", graph)
        self._cuda("cudaGraphLaunch", bound.graph, self._stream)

    def _drop_graph(self, bound: _Bound) -> None:
        if bound.graph is not None:
            self._cuda("cudaGraphExecDestroy", bound.graph)
            bound.graph = None

    def _failed(self, program: Program, what: str) -> SessionError:
        profile = self._records[program.graph].profiles[program.profile].name
        return SessionError(f"TensorRT's {program.graph} (profile {profile}) {what}: {self._log.said()}")
