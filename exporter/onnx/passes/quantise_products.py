"""Turns products with constant matrices into products of int8, for CPUs."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import constant, made_by
from exporter.onnx.editing.int8_products import Int8Products, scaled_product
from exporter.onnx.editing.int8_weights import Roundings


def quantise_products(
    model: ir.Model, keep: Callable[[ir.Node], bool] = lambda _: False, roundings: Roundings | None = None
) -> tuple[ir.Model, bool]:
    """Compute every product with a constant float32 matrix in int8, in place.

    Weights are rounded to int8 with one scale for each output channel, activations to uint8 with one scale and
    zero point for each call (DynamicQuantizeLinear). These are ONNX's own operators; products of the same
    activations share their rounding.

    A matrix that a Gather reads as well (a tied embedding) stays one tensor: its rows are the output channels of
    the product, so that both use the same numbers and scales. Of one too small for ``quantise_tables`` the Gather
    keeps the float32 form.

    Args:
        model: changed.
        keep: products to leave in float32.
        roundings: shared with other graphs; None: of this one alone.
    """
    products = Int8Products(model.graph, roundings or Roundings())
    for node in list(model.graph):
        found = None if keep(node) else constant_matrix(node)
        if found is not None:
            _replace(products, node, *found)
    return model, products.changed


def constant_matrix(node: ir.Node) -> tuple[ir.Value, bool] | None:
    """The float32 matrix that a MatMul multiplies with, and whether it does with its transpose.

    None where the right side is computed, or is not a matrix, or the node is no MatMul.
    """
    right = node.inputs[1] if node.op_type == "MatMul" else None
    transpose = made_by(right, "Transpose")
    if transpose is not None:
        right = transpose.inputs[0]
    tensor = constant(right)
    if right is None or tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2:
        return None
    return right, transpose is not None


def _replace(products: Int8Products, node: ir.Node, matrix: ir.Value, transposed: bool) -> None:  # noqa: FBT001
    activations, name = node.inputs[0], str(node.name)
    assert activations is not None and matrix.const_value is not None  # noqa: S101, PT018 - seen by constant_matrix
    rounded, is_new = products.rounding(activations, name)
    new = [rounded] if is_new else []
    array = matrix.const_value.numpy
    numbers, scales = (
        products.weights(matrix, "rows", array)
        if transposed
        else products.weights(matrix, "columns", lambda: array().T)
    )
    if transposed:
        # Of a constant: ONNX Runtime does it once, at load.
        new.append(ir.node("Transpose", [numbers], {"perm": [1, 0]}, name=f"{name}_transpose"))
        numbers = new[-1].outputs[0]
    new += scaled_product(name, rounded.outputs[0], rounded, numbers, scales)
    products.put_in_place(node, new, matrix)
