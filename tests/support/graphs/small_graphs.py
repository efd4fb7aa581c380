"""ONNX files of one node or two, to ask TensorRT's parser and builder about."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

needs_tensorrt_rtx = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="NVIDIA has TensorRT-RTX wheels for x86-64 only",
)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    dtype: int = TensorProto.FLOAT,
    output: int | None = None,
    weights: dict[str, NDArray[Any]] | None = None,
) -> Path:
    """A graph from x [batch, 4] to y."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", dtype, ["batch", 4])],
        [helper.make_tensor_value_info("y", dtype if output is None else output, ["rows", None])],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    return path


def save_product(path: Path, node: str, dtype: str) -> Path:
    """One matrix product in float32 or float16."""
    onnx_type = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}[dtype]
    weights = {"w": np.eye(4, dtype=dtype)}
    return save(
        path, [helper.make_node("MatMul", ["x", "w"], ["y"], name=node)], dtype=onnx_type, weights=weights
    )


def request(source: Path, **changes: Any) -> dict[str, Any]:
    """What a child is asked about such a file."""
    return {
        "graph": "encoder",
        "precision": "fp32",
        "fp32_blocks": {},
        "source": str(source),
        "source_path": "fp32/encoder.onnx",
        "plan_path": str(source.with_suffix(".plan")),
        "targets": ["sm86"],
        "profiles": [{"x": [[1, 4], [1, 4], [2, 4]]}],
        **changes,
    }
