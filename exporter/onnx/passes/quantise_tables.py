"""Stores the tables that a Gather reads in int8."""

from __future__ import annotations

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import drop_unused, int64, take_over
from exporter.onnx.editing.int8_products import add_int8
from exporter.onnx.editing.int8_weights import Roundings

MIN_ELEMENTS = 1 << 14
"""Below, the bytes saved are not worth three more operators in every step."""


def quantise_tables(model: ir.Model, roundings: Roundings | None = None) -> tuple[ir.Model, bool]:
    """Keep large float32 embedding tables in int8 with one scale a row, in place.

    What is looked up is scaled, never the table: the rows are read as int8, then multiplied.

    Args:
        model: changed.
        roundings: shared with other graphs; None: of this one alone.
    """
    changed, known = False, roundings or Roundings()
    for node in list(model.graph):
        table = node.inputs[0] if node.op_type == "Gather" else None
        if table is None or not _is_table(node, table):
            continue
        assert table.const_value is not None  # noqa: S101 - _is_table has seen it
        found = known.of(table.const_value, "rows", table.const_value.numpy)
        numbers, scales = add_int8(model.graph, str(table.name), found)
        name, ids = str(node.name), node.inputs[1]
        rows = ir.node("Gather", [numbers, ids], {"axis": 0}, name=f"{name}_int8")
        wide = ir.node("Cast", [rows.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name=f"{name}_float")
        scale = ir.node("Gather", [scales, ids], {"axis": 0}, name=f"{name}_scale")
        last = ir.node("Unsqueeze", [scale.outputs[0], int64(model.graph, [-1])], name=f"{name}_column")
        scaled = ir.node("Mul", [wide.outputs[0], last.outputs[0]], name=name)
        model.graph.insert_before(node, [rows, wide, scale, last, scaled])
        take_over(node.outputs[0], scaled.outputs[0])
        model.graph.remove(node, safe=True)
        drop_unused(model.graph, table)
        changed = True
    return model, changed


def _is_table(node: ir.Node, table: ir.Value) -> bool:
    if not table.is_initializer() or table.const_value is None:
        return False
    axis = node.attributes.get("axis")
    tensor = table.const_value
    whole_rows = axis is None or axis.as_int() == 0
    return (
        whole_rows
        and tensor.dtype == ir.DataType.FLOAT
        and len(tensor.shape) == 2
        and tensor.size >= MIN_ELEMENTS
    )
