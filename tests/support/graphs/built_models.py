"""Models made node by node, and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

Array = NDArray[np.float32]


def constant(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> ir.Value:
    return ir.val(name, const_value=ir.tensor(array, name=name))


def run(model: ir.Model, directory: Path, **feeds: NDArray[np.float32] | NDArray[np.int64]) -> Array:
    ir.save(model, directory / "g.onnx")
    session = ort.InferenceSession(str(directory / "g.onnx"), providers=["CPUExecutionProvider"])
    result: Array = session.run(["y"], feeds)[0]
    return result


def kinds(model: ir.Model) -> list[str]:
    return sorted({node.op_type for node in model.graph})
