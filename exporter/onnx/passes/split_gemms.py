"""Spells Gemm as a product and a sum, so that the passes for int8 see its weights."""

from __future__ import annotations

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import constant, take_over


def split_gemms(model: ir.Model) -> tuple[ir.Model, bool]:
    """Turn every Gemm with a constant matrix into MatMul and Add, in place.

    A linear layer is exported as Gemm where its activations are a matrix: those of GPT-2's Conv1D are. One that
    scales (alpha, beta) or transposes its activations is left.

    Args:
        model: changed.
    """
    found = [node for node in model.graph if _is_linear(node)]
    for node in found:
        _split(model.graph, node)
    return model, bool(found)


def _is_linear(node: ir.Node) -> bool:
    if node.op_type != "Gemm" or constant(node.inputs[1]) is None:
        return False
    scales = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    return scales == [1.0, 1.0] and not node.attributes.get_int("transA", 0)


def _split(graph: ir.Graph, node: ir.Node) -> None:
    activations, matrix = node.inputs[:2]
    new = []
    if node.attributes.get_int("transB", 0):
        # Of a constant: ONNX Runtime does it once, at load.
        new.append(ir.node("Transpose", [matrix], {"perm": [1, 0]}, name=f"{node.name}_transpose"))
        matrix = new[-1].outputs[0]
    new.append(ir.node("MatMul", [activations, matrix], name=str(node.name)))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        new.append(ir.node("Add", [new[-1].outputs[0], bias], name=f"{node.name}_bias"))
    graph.insert_before(node, new)
    take_over(node.outputs[0], new[-1].outputs[0])
    graph.remove(node, safe=True)
