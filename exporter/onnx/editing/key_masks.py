"""Which keys an attention's mask leaves out, where it is the same for every query."""

from __future__ import annotations

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import constant, made_by

_ABSENT = -1e4
"""A mask adds this or less to the scores of keys that are left out."""


def key_mask(mask: ir.Value) -> ir.Value | None:
    """The bool value [batch, 1, 1, frames] behind a mask of scores, True where a key is attended to.

    transformers builds the mask [batch, 1, frames, frames] as ``where(all_true & keys, 0, lowest)``; the first part
    looks at the queries' positions and is true for all of them. None where a mask is anything else.

    Args:
        mask: float32, is added to the scores.
    """
    node = made_by(mask, "Where")
    if node is None:
        return None
    chosen, zero, low = node.inputs
    if not _is_number(zero, at_least=0, at_most=0) or not _is_number(low, at_most=_ABSENT):
        return None
    left = [part for part in _parts(chosen) if not _always_true(part)]
    if len(left) != 1 or left[0].shape is None:
        return None
    axes = list(left[0].shape)
    return left[0] if len(axes) == 4 and axes[0] != 1 and axes[1:3] == [1, 1] else None


def _parts(value: ir.Value | None) -> list[ir.Value]:
    """The values whose conjunction this is, however it is broadcast."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Expand":
        return _parts(node.inputs[0])
    if node is not None and node.op_type == "And":
        return [part for one in node.inputs for part in _parts(one)]
    return [] if value is None else [value]


def _always_true(value: ir.Value) -> bool:
    tensor, node = constant(value), made_by(value, "GreaterOrEqual")
    if tensor is not None:
        return bool(tensor.numpy().all())
    return node is not None and _is_number(node.inputs[1], at_most=0) and _counts_up(node.inputs[0])


def _counts_up(value: ir.Value | None) -> bool:
    """Whether these are the numbers from 0, or from a later one, upwards."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in ("Unsqueeze", "Cast"):
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    return (
        node is not None
        and node.op_type == "Range"
        and _is_number(node.inputs[0], at_least=0)
        and _is_number(node.inputs[2], at_least=0)
    )


def _is_number(
    value: ir.Value | None, *, at_least: float = -float("inf"), at_most: float = float("inf")
) -> bool:
    """Whether a value is a constant with one element within these limits."""
    tensor = constant(value)
    return tensor is not None and tensor.size == 1 and at_least <= float(tensor.numpy().item()) <= at_most
