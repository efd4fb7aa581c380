"""Removes what the exporter notes for its own debugging: stack traces with source paths, above all."""

from __future__ import annotations

import onnx_ir as ir


def strip_metadata(model: ir.Model) -> tuple[ir.Model, bool]:
    """Drop metadata and doc strings of nodes and values, in place.

    The notes hold file paths of the exporting machine and outweigh a small graph several times over.
    """
    changed = False
    for node in model.graph.all_nodes():
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        items: list[ir.Node | ir.Value] = [node, *values]
        for item in items:
            if item.metadata_props or item.doc_string:
                item.metadata_props.clear()
                item.doc_string = None
                changed = True
    holders: list[ir.Model | ir.Graph] = [model, model.graph]
    for holder in holders:
        if holder.metadata_props or holder.doc_string:
            holder.metadata_props.clear()
            holder.doc_string = None
            changed = True
    return model, changed
