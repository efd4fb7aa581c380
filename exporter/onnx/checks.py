"""An exported file against its contract: names, types, axes, opset, and what hosts cannot run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from exporter.errors import GraphError
from exporter.onnx.export import OPSET
from graphs import GraphSignature, TensorSpec

FORBIDDEN_OPERATORS = frozenset({"NonZero", "Loop", "If", "Scan", "Compress", "Unique", "DFT", "STFT"})
"""TensorRT takes none of them, or takes them out of its engines."""
FLOAT32_OPERATORS = frozenset(
    {
        "Softmax",
        "LogSoftmax",
        "LayerNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "BatchNormalization",
        "RMSNormalization",
    }
)
"""What computes in float32 in graphs of any precision."""
_HALF = ir.DataType.FLOAT16
_DTYPES = {
    "float32": ir.DataType.FLOAT,
    "float16": ir.DataType.FLOAT16,
    "int64": ir.DataType.INT64,
    "bool": ir.DataType.BOOL,
}


def check_graph(path: Path, signature: GraphSignature, *, beyond_onnx: Collection[str] = ()) -> None:
    """Check a saved graph.

    Args:
        path: of the graph.
        signature: its contract.
        beyond_onnx: ``DOMAIN::OPERATOR`` of operators outside the ONNX standard that it may have.

    Raises:
        GraphError: names every mismatch at once.
    """
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise GraphError(f"{path.name} is not valid ONNX: {error}") from error
    model = ir.load(path)
    problems = [
        *_interface_problems(model.graph.inputs, signature.inputs, "input"),
        *_interface_problems(model.graph.outputs, signature.outputs, "output"),
        *_operator_problems(model, beyond_onnx),
    ]
    if problems:
        raise GraphError(f"{path.name} breaks the {signature.name} contract: " + "; ".join(problems))


def _interface_problems(values: Sequence[ir.Value], specs: Sequence[TensorSpec], kind: str) -> list[str]:
    got, wanted = [str(value.name) for value in values], [spec.name for spec in specs]
    if got != wanted:
        return [f"{kind}s are {', '.join(got)}; wanted {', '.join(wanted)}"]
    problems = []
    for value, spec in zip(values, specs, strict=True):
        if value.dtype != _DTYPES[spec.dtype]:
            problems.append(f"{kind} {spec.name} is {value.dtype}; wanted {spec.dtype}")
        if value.shape != ir.Shape(spec.axes):
            problems.append(f"{kind} {spec.name} has axes {value.shape}; wanted {spec.axes}")
    return problems


def _operator_problems(model: ir.Model, beyond_onnx: Collection[str]) -> list[str]:
    problems = []
    opset = model.opset_imports.get("")
    if opset != OPSET:
        problems.append(f"opset is {opset}; wanted {OPSET}")
    nodes = list(model.graph.all_nodes())
    forbidden = sorted({node.op_type for node in nodes} & FORBIDDEN_OPERATORS)
    if forbidden:
        problems.append(f"operators that TensorRT cannot take: {', '.join(forbidden)}")
    half = [
        str(node.name) for node in nodes if node.op_type in FLOAT32_OPERATORS and _first_type(node) == _HALF
    ]
    if half:
        problems.append(f"float16 where float32 is needed: {', '.join(half)}")
    infinite = [
        str(value.name)
        for value in (*model.graph.initializers.values(), *(out for node in nodes for out in node.outputs))
        if value.const_value is not None
        and value.const_value.dtype == _HALF
        and not np.isfinite(value.const_value.numpy()).all()
    ]
    if infinite:
        problems.append(f"float16 constants that are not finite: {', '.join(infinite)}")
    foreign = sorted(
        {f"{node.domain}::{node.op_type}" for node in nodes if node.domain not in {"", "ai.onnx"}}
        - set(beyond_onnx)
    )
    if foreign:
        problems.append(f"operators outside the ONNX standard: {', '.join(foreign)}")
    chains = [str(node.name) for node in nodes if node.op_type == "Identity" and _feeds_identity(node)]
    if chains:
        problems.append(f"chains of Identity nodes: {', '.join(chains)}")
    return problems


def _first_type(node: ir.Node) -> ir.DataType | None:
    return node.inputs[0].dtype if node.inputs and node.inputs[0] is not None else None


def _feeds_identity(node: ir.Node) -> bool:
    return any(use.node.op_type == "Identity" for output in node.outputs for use in output.uses())
