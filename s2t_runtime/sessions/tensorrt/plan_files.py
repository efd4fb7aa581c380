"""From a plan to an engine that may run here; the TensorRT module of either flavour is handed in."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np

from s2t_runtime.bundles.engine_record import BoundTensor, EngineRecord
from s2t_runtime.errors import SessionError

_LOGGER: Final = logging.getLogger("s2t_runtime.tensorrt")
_TYPES: Final = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "BOOL": "bool"}


def collecting_logger(trt: Any) -> Any:
    """A logger for TensorRT whose ``errors`` are the texts that a failed call leaves behind."""

    class Log(trt.ILogger):  # type: ignore[misc]  # the base is known only when a flavour is
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            serious = severity in {trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR}
            if serious:
                self.errors.append(" ".join(msg.split()))
            _LOGGER.log(logging.WARNING if serious else logging.DEBUG, "%s", msg)

        def said(self) -> str:
            """The errors since the last call, in one line."""
            text, self.errors = "; ".join(self.errors) or "it gave no reason", []
            return text

    return Log()


def load_plan(trt: Any, runtime: Any, log: Any, path: Path, record: EngineRecord, *, gpu: str) -> Any:
    """Deserialise a plan, on a machine with a driver and a GPU that the record allows.

    Args:
        trt: the module of the flavour.
        runtime: its Runtime.
        log: ``collecting_logger`` of that runtime.
        path: the plan.
        record: what its json says.
        gpu: for messages.

    Raises:
        SessionError: TensorRT holds the plan for invalid here, cannot load it, or finds other inputs and
            outputs in it than the record says.
    """
    plan = np.memmap(path, mode="r", dtype=np.uint8)
    _check_validity(trt, runtime, log, path, bytes(plan[: _header_size(runtime)]), gpu)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise SessionError(
            f"{path} cannot be loaded by {record.flavour} {record.version} on {gpu} ({log.said()}): compile it here "
            "again with compile-s2t BUNDLE --force, or use provider 'cpu'"
        )
    _check_tensors(trt, engine, path, record)
    return engine


def _header_size(runtime: Any) -> int:
    return int(getattr(runtime, "engine_header_size", 0))


def _check_validity(trt: Any, runtime: Any, log: Any, path: Path, header: bytes, gpu: str) -> None:
    if not hasattr(runtime, "get_engine_validity"):
        return  # full TensorRT has no such call; deserialising tells
    validity, diagnostics = runtime.get_engine_validity(header)
    if validity == trt.EngineValidity.INVALID:
        members = trt.EngineInvalidityDiagnostics.__members__
        reasons = [name for name, member in members.items() if int(diagnostics) & int(member)]
        raise SessionError(
            f"{path} is not valid on {gpu} ({', '.join(reasons) or log.said()}): compile engines for it with "
            "compile-s2t BUNDLE --force, or use provider 'cpu'"
        )
    if validity == trt.EngineValidity.SUBOPTIMAL:
        _LOGGER.warning("%s runs on %s, but was not made for it: engines compiled here are faster", path, gpu)


def _check_tensors(trt: Any, engine: Any, path: Path, record: EngineRecord) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {name: _of_engine(trt, engine, name) for name in names}
    wanted = {tensor.name: (True, _described(tensor)) for tensor in record.inputs}
    wanted |= {tensor.name: (False, _described(tensor)) for tensor in record.outputs}
    wrong = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    profiles = len(record.profiles)
    if wrong or engine.num_optimization_profiles != profiles:
        what = f"tensors {', '.join(wrong)}" if wrong else f"{engine.num_optimization_profiles} profiles"
        raise SessionError(f"{path} has other {what} than its json says: compile-s2t BUNDLE --force")


def _of_engine(trt: Any, engine: Any, name: str) -> tuple[bool, tuple[str, int]]:
    dtype = engine.get_tensor_dtype(name).name
    is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
    return is_input, (_TYPES.get(dtype, dtype), len(engine.get_tensor_shape(name)))


def _described(tensor: BoundTensor) -> tuple[str, int]:
    return tensor.dtype, len(tensor.axes)
