"""Gives inputs, outputs and their axes the names of the contract."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from exporter.errors import GraphError
from graphs import GraphSignature, TensorSpec


def apply_signature(model: ir.Model, signature: GraphSignature) -> tuple[ir.Model, bool]:
    """Rename in place, by position.

    The exporter names values after their place in the traced program and output axes by expressions
    such as ``past + new``; hosts need the contract's names.

    Raises:
        GraphError: another number of inputs or outputs than the contract has.
    """
    changed = _rename(model.graph.inputs, signature.inputs, signature.name, "inputs")
    changed |= _rename(model.graph.outputs, signature.outputs, signature.name, "outputs")
    if model.graph.name != signature.name:
        model.graph.name = signature.name
        changed = True
    return model, changed


def _rename(values: Sequence[ir.Value], specs: Sequence[TensorSpec], graph: str, kind: str) -> bool:
    if len(values) != len(specs):
        raise GraphError(
            f"the exported {graph} graph has {len(values)} {kind} ({', '.join(str(value.name) for value in values)}); "
            f"the contract has {len(specs)} ({', '.join(spec.name for spec in specs)})"
        )
    changed = False
    for value, spec in zip(values, specs, strict=True):
        shape = ir.Shape(spec.axes)
        if value.name != spec.name or value.shape != shape:
            value.name, value.shape = spec.name, shape
            changed = True
    return changed
