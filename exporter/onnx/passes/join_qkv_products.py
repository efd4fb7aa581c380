"""Joins the int8 products of one attention that share their activations, for CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from exporter.onnx.editing.graph_edits import (
    constant,
    drop_unused,
    initializer,
    int64,
    made_by,
    only_reader,
    remove_unread,
    take_over,
)
from exporter.onnx.editing.int8_products import scaled_product


@dataclass(frozen=True)
class _Product:
    """A product as ``scaled_product`` writes it, with the bias behind it.

    Attributes:
        node: the MatMulInteger.
        rounded: the DynamicQuantizeLinear of its activations.
        numbers: int8 [in, out].
        scales: float32 [out].
        bias: float32 [out]; None where it has none.
        last: gives the result.
    """

    node: ir.Node
    rounded: ir.Node
    numbers: ir.Value
    scales: ir.Value
    bias: ir.Value | None
    last: ir.Node

    @property
    def module(self) -> str:
        """Name of the module around the projection: layers.0.self_attn of layers.0.self_attn.q_proj/MatMul."""
        return str(self.node.name).rpartition("/")[0].rpartition(".")[0]


def join_qkv_products(model: ir.Model) -> tuple[ir.Model, bool]:
    """Compute an attention's queries, keys and values (or keys and values) in one product, in place.

    Each of its columns is what it was, to the last bit. At a few rows a product of a small matrix is over so soon
    that handing it to the threads is a good part of its time.

    Args:
        model: changed.
    """
    groups: dict[tuple[ir.Value | None, str, bool], list[_Product]] = {}
    for node in model.graph:
        found = _product(node)
        if found is not None and found.module:
            groups.setdefault((node.inputs[0], found.module, found.bias is None), []).append(found)
    several = [products for products in groups.values() if len(products) > 1]
    for products in several:
        _join(model.graph, products)
    return model, bool(several)


def _product(node: ir.Node) -> _Product | None:
    numbers = node.inputs[1] if node.op_type == "MatMulInteger" else None
    rounded = made_by(node.inputs[0], "DynamicQuantizeLinear")
    wide = None if numbers is None else only_reader(node.outputs[0], "Cast")
    scaled = None if wide is None else only_reader(wide.outputs[0], "Mul")
    scale = None if scaled is None else made_by(scaled.inputs[1], "Mul")
    if numbers is None or constant(numbers) is None or rounded is None or scaled is None or scale is None:
        return None
    scales = scale.inputs[1]
    if scales is None or constant(scales) is None:
        return None
    added = only_reader(scaled.outputs[0], "Add")
    bias = None if added is None else added.inputs[1]
    if added is None or bias is None or not _is_row(bias, _columns(scales)):
        return _Product(node, rounded, numbers, scales, None, scaled)
    return _Product(node, rounded, numbers, scales, bias, added)


def _is_row(value: ir.Value, columns: int) -> bool:
    tensor = constant(value)
    return tensor is not None and tuple(tensor.shape) == (columns,)


def _join(graph: ir.Graph, products: Sequence[_Product]) -> None:
    first = products[0]
    name = f"{first.node.name}_joined"
    numbers = _joined(graph, f"{name}_numbers", [one.numbers for one in products])
    scales = _joined(graph, f"{name}_scales", [one.scales for one in products])
    new = scaled_product(name, first.rounded.outputs[0], first.rounded, numbers, scales)
    biases = [one.bias for one in products if one.bias is not None]
    if biases:
        bias = _joined(graph, f"{name}_biases", biases)
        new.append(ir.node("Add", [new[-1].outputs[0], bias], name=f"{name}_bias"))
    sizes = int64(graph, [_columns(one.scales) for one in products])
    split = ir.node(
        "Split", [new[-1].outputs[0], sizes], {"axis": -1}, num_outputs=len(products), name=f"{name}_split"
    )
    graph.insert_before(first.node, [*new, split])
    for one, result in zip(products, split.outputs, strict=True):
        take_over(one.last.outputs[0], result)
        remove_unread(graph, one.last)
        for value in (one.numbers, one.scales, one.bias):
            if value is not None:
                drop_unused(graph, value)


def _joined(graph: ir.Graph, name: str, values: Sequence[ir.Value]) -> ir.Value:
    arrays = [value.const_value.numpy() for value in values if value.const_value is not None]
    return initializer(graph, name, np.concatenate(arrays, axis=-1))


def _columns(scales: ir.Value) -> int:
    assert scales.const_value is not None  # noqa: S101 - seen by _product
    return scales.const_value.size
