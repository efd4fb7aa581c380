"""The one exporter file that imports TensorRT; it runs in a process of its own, as ``python -m``.

One flavour per process, because Polygraphy picks it from an environment variable as it is imported, and
one build per process, so that its gigabytes are given back and a crash in the library is an error message.
A request comes as JSON on standard input, the answer leaves as JSON on standard output
(``process`` is the other end).

Polygraphy makes profiles, the builder's configuration and the plan. Parsing uses TensorRT's own bindings:
Polygraphy's loader writes parser errors to its own log and raises one sentence without node or operator,
and its logger cannot be replaced by one that collects.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from exporter.engines.census import Layer, census_of, check_products
from exporter.errors import EngineError
from s2t_runtime.errors import S2TError

MODULES: Final = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Flavour -> the Python module that its extra installs."""
_DTYPES: Final = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "BOOL": "bool"}
_DRIVER_WANTED: Final = (
    "full TensorRT needs an NVIDIA driver and a GPU to build: run compile-s2t on the machine where the engines will "
    "run, or take --flavour tensorrt-rtx, which builds without"
)
_PR_SET_PDEATHSIG: Final = 1
_ONNX_LAYER: Final = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
Json = dict[str, Any]


def describe(request: Mapping[str, Any]) -> Json:
    """Version of the flavour, and the targets it can be told (full TensorRT: the GPU that is here)."""
    trt = _tensorrt(request["flavour"])
    if request["flavour"] == "tensorrt":
        return {"version": trt.__version__, "targets": [_gpu_target()]}
    names = (name.lower() for name in trt.ComputeCapability.__members__)
    targets = sorted((name for name in names if name.startswith("sm")), key=lambda name: int(name[2:]))
    return {"version": trt.__version__, "targets": targets}


def parse(request: Mapping[str, Any]) -> Json:
    """Parse a graph and count its layers; nothing is built."""
    return {"census": _Network(request).census()}


def build(request: Mapping[str, Any]) -> Json:
    """Build an engine and write its plan."""
    network = _Network(request)
    census = network.census()
    plan = network.plan(request)
    path = Path(request["plan_path"])
    path.write_bytes(plan)
    return {
        "census": census,
        "plan_size": path.stat().st_size,
        "plan_sha256": hashlib.sha256(plan).hexdigest(),
        "inputs": network.tensors("input"),
        "outputs": network.tensors("output"),
    }


def _tensorrt(flavour: str) -> Any:
    """The module of a flavour.

    Raises:
        EngineError: it is not installed, or a library that it needs is missing.
    """
    try:
        if flavour == "tensorrt-rtx":
            import tensorrt_rtx as trt  # noqa: PLC0415 - either may be absent
        else:
            import tensorrt as trt  # noqa: PLC0415
        _ = trt.Builder  # an incomplete installation imports as an empty namespace
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise EngineError(
            f"{MODULES[flavour]} cannot be loaded ({error}): install it again with "
            f'pip install --force-reinstall "export-s2t[{flavour}]"'
        ) from error
    return trt


def _gpu_target() -> str:
    """The compute capability of the GPU that full TensorRT builds for: CUDA's device 0.

    Raises:
        EngineError: no driver, or no GPU.
    """
    # The driver's own library, which needs no package: cuda-python is for running engines.
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise EngineError(f"no NVIDIA driver was found ({error}): {_DRIVER_WANTED}") from error
    device, numbers = ctypes.c_int(), (ctypes.c_int(), ctypes.c_int())
    steps: tuple[Callable[[], int], ...] = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(numbers[0]), 75, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(numbers[1]), 76, device),
    )
    for step in steps:
        if (status := step()) != 0:
            raise EngineError(f"the NVIDIA driver gives no GPU (CUDA error {status}): {_DRIVER_WANTED}")
    return f"sm{numbers[0].value}{numbers[1].value}"


def _collector(trt: Any) -> Any:
    """A logger that keeps what went wrong: TensorRT reports it there, and returns None."""
    severity = trt.ILogger.Severity

    class Collector(trt.ILogger):
        """Keeps the text of every error in ``errors``, and of every warning in ``warnings``."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, level: Any, text: str) -> None:
            """Called by TensorRT."""
            if level in {severity.ERROR, severity.INTERNAL_ERROR}:
                self.errors.append(" ".join(text.split()))
            elif level == severity.WARNING:
                self.warnings.append(" ".join(text.split()))

    return Collector()


def _parser_error(error: Any) -> str:
    """Node, operator and reason; a file that is no graph has a reason alone."""
    if not error.node_operator():
        return str(error.desc())
    return f"node {error.node_name() or '(no name)'}, operator {error.node_operator()}: {error.desc()}"


class _Network:
    """A parsed graph. The attributes keep alive what TensorRT's objects point into."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._trt = trt = _tensorrt(request["flavour"])
        self._logger = _collector(trt)
        try:
            self._builder = trt.Builder(self._logger)
        except (TypeError, RuntimeError) as error:  # pybind11: the factory returned nothing
            # Why not, that a driver is missing or too old for example, TensorRT tells as a warning.
            told = self._said() or "; ".join(self._logger.warnings) or error
            raise EngineError(f"{request['flavour']} gives no builder ({told}): {_DRIVER_WANTED}") from error
        # TensorRT-RTX and TensorRT 11 know strongly typed networks only, and may not know the flag.
        flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        self.network = self._builder.create_network(0 if flag is None else 1 << int(flag))
        self._parser = trt.OnnxParser(self.network, self._logger)
        # By path: weights lie in files beside the graph.
        if not self._parser.parse_from_file(str(request["source"])):
            raise EngineError(
                f"{request['flavour']} cannot parse {request['source_path']}: {self._parser_errors()}"
            )
        self._layers = [self._layer(index) for index in range(self.network.num_layers)]
        check_products(request["graph"], request["precision"], self._layers, request["fp32_blocks"])

    def _said(self) -> str:
        return "; ".join(self._logger.errors)

    def _parser_errors(self) -> str:
        errors = [self._parser.get_error(index) for index in range(self._parser.num_errors)]
        return "; ".join(map(_parser_error, errors)) or self._said() or "no reason was given"

    def _layer(self, index: int) -> Layer:
        layer = self.network.get_layer(index)
        output = layer.get_output(0) if layer.num_outputs else None
        found = _ONNX_LAYER.search(layer.metadata or "")
        return Layer(
            layer.type.name,
            "NONE" if output is None else output.dtype.name,
            found[1] if found else layer.name,
        )

    def census(self) -> dict[str, dict[str, int]]:
        """Layer type -> output type -> count."""
        return census_of(self._layers)

    def tensors(self, kind: str) -> list[Json]:
        """Names and types of the inputs or outputs, in the engine's order."""
        count, get = getattr(self.network, f"num_{kind}s"), getattr(self.network, f"get_{kind}")
        return [
            {"name": tensor.name, "dtype": _DTYPES[tensor.dtype.name]} for tensor in map(get, range(count))
        ]

    def plan(self, request: Mapping[str, Any]) -> memoryview:
        """The serialised engine.

        Raises:
            EngineError: with all that TensorRT said.
        """
        from polygraphy.backend.trt import EngineBytesFromNetwork  # noqa: PLC0415 - heavy
        from polygraphy.exception import PolygraphyException  # noqa: PLC0415
        from polygraphy.logger import G_LOGGER  # noqa: PLC0415

        G_LOGGER.module_severity = G_LOGGER.CRITICAL
        try:
            config = self._config(request["profiles"], request["targets"])
            plan = EngineBytesFromNetwork((self._builder, self.network), config=config)()
        except (PolygraphyException, RuntimeError, TypeError, ValueError) as error:
            raise EngineError(
                f"{request['flavour']} cannot build {request['graph']}: {self._said() or error}"
            ) from error
        return memoryview(plan)

    def _config(self, profiles: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> Any:
        from polygraphy.backend.tensorrt_rtx import CreateConfigRTX  # noqa: PLC0415 - heavy
        from polygraphy.backend.trt import CreateConfig, Profile  # noqa: PLC0415

        made = []
        for bounds in profiles:
            profile = Profile()
            for name, (minimum, optimum, maximum) in bounds.items():
                profile.add(name, tuple(minimum), tuple(optimum), tuple(maximum))
            made.append(profile)
        if self._request["flavour"] == "tensorrt":
            return CreateConfig(profiles=made)
        pairs = [divmod(int(target.removeprefix("sm")), 10) for target in targets]
        return CreateConfigRTX(profiles=made, compute_capabilities=pairs or None)


TASKS: Final[Mapping[str, Callable[[Mapping[str, Any]], Json]]] = {
    "describe": describe,
    "parse": parse,
    "build": build,
}


def _die_with_parent(parent: int) -> None:
    """End at once where the parent ends, killed or not: nobody would use the plan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def main() -> None:
    """Do what standard input asks for; a user's error is an answer, a bug keeps its traceback."""
    request = json.load(sys.stdin)
    _die_with_parent(request["parent"])
    # The library may print; the answer has standard output for itself.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        said: Json = {"result": TASKS[request["task"]](request)}
    except S2TError as error:
        said = {"error": str(error)}
    except OSError as error:
        said = {"error": f"{request.get('plan_path')} cannot be written: {error.strerror or error}"}
    with answer:
        json.dump(said, answer)


if __name__ == "__main__":
    main()
