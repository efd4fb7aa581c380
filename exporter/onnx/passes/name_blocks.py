"""Names nodes after the part of the checkpoint that they come from."""

from __future__ import annotations

import ast

import onnx_ir as ir

_SCOPES = "pkg.torch.onnx.name_scopes"


def name_blocks(model: ir.Model) -> tuple[ir.Model, bool]:
    """Put the innermost module's name before each node's own, as ``decoder.lm_head/node_linear_3``; in place.

    Profilers and TensorRT's messages then say where in the model they are, and a node's precision can be held
    against what the manifest says of its module. Needs the exporter's notes, so it comes before strip_metadata.
    """
    changed = False
    for node in model.graph.all_nodes():
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
        # The last entry is the node's own name.
        block = next((scope for scope in reversed(scopes[:-1]) if scope and not scope.startswith("_")), "")
        if block and not str(node.name).startswith(f"{block}/"):
            node.name = f"{block}/{node.name}"
            changed = True
    return model, changed
