"""Turns an encoder's self-attention into ONNX Runtime's fused operator, for CPUs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx_ir as ir

from exporter.onnx.editing.graph_edits import (
    constant,
    initializer,
    int64,
    made_by,
    only_reader,
    remove_unread,
    take_over,
)
from exporter.onnx.editing.key_masks import key_mask

_CONTRIB: Final = "com.microsoft"
_KIND: Final = "MultiHeadAttention"
FUSED: Final = f"{_CONTRIB}::{_KIND}"
"""What the pass brings in: an operator of ONNX Runtime, not of ONNX."""
_HEADS_FIRST: Final = (0, 2, 1, 3)
_KEYS_LAST: Final = (0, 2, 3, 1)
_LOW: Final = -1e9
"""What a masked key adds to its products: far below any score, but finite: a block may have no other keys."""


@dataclass(frozen=True)
class Attention:
    """Self-attention as it is exported.

    Attributes:
        softmax: of the scores.
        queries: [batch, frames, heads, width].
        keys: [batch, frames, heads, width].
        values: [batch, frames, heads, width of a value].
        scale: of the products.
        mask: bool [batch, 1, 1, frames], True where a key is attended to; None: all are.
        last: gives the result, [batch, frames, heads x width of a value].
    """

    softmax: ir.Node
    queries: ir.Value
    keys: ir.Value
    values: ir.Value
    scale: float
    mask: ir.Value | None
    last: ir.Node


def attention(softmax: ir.Node) -> Attention | None:
    """The attention around a Softmax; None where it is no such attention.

    One whose scores get more than a mask of keys (relative positions, say) is none.
    """
    scores, weighted = softmax.inputs[0], only_reader(softmax.outputs[0], "MatMul")
    if softmax.op_type != "Softmax" or scores is None or weighted is None:
        return None
    mask, masked = None, made_by(scores, "Add")
    if masked is not None:
        left, right = masked.inputs
        mask = None if right is None else key_mask(right)
        if mask is None or left is None:
            return None
        scores = left
    scale, scores = _scale(scores)
    product, turned = made_by(scores, "MatMul"), only_reader(weighted.outputs[0], "Transpose")
    last = None if turned is None else only_reader(turned.outputs[0], "Reshape")
    if product is None or turned is None or last is None:
        return None
    queries, keys = (
        _transposed(product.inputs[0], _HEADS_FIRST),
        _transposed(product.inputs[1], _KEYS_LAST),
    )
    values = _transposed(weighted.inputs[1], _HEADS_FIRST)
    merged = last.outputs[0].shape
    if queries is None or keys is None or values is None or _permutation(turned) != _HEADS_FIRST:
        return None
    if merged is None or len(merged) != 3:
        return None
    return Attention(softmax, queries, keys, values, scale, mask, last)


def fuse_attention(model: ir.Model) -> tuple[ir.Model, bool]:
    """Compute self-attention with ONNX Runtime's MultiHeadAttention, in place.

    Without a mask its CPU kernel works block by block (flash attention, arXiv:2205.14135), so that the scores
    [heads, frames, frames] are never written: that is faster, and a minute of audio needs half a gigabyte less. A mask
    would switch that off. So it becomes a dimension of the queries and keys: each query has a 1 there, each key
    0, or a large negative number where it is masked, and their products are the masked scores.

    Args:
        model: changed.
    """
    fusion = _Fusion(model.graph)
    for node in list(model.graph):
        found = attention(node) if node.op_type == "Softmax" else None
        if found is not None:
            fusion.replace(found)
    if fusion.changed:
        model.graph.opset_imports[_CONTRIB] = 1
    return model, fusion.changed


@dataclass
class _Fusion:
    graph: ir.Graph
    changed: bool = False
    _further: dict[tuple[ir.Value, int], tuple[ir.Value, ir.Value]] = field(default_factory=dict)
    """Mask and number of heads -> the further dimension of the queries and of the keys."""

    def replace(self, found: Attention) -> None:
        """Put the fused operator in place of one attention."""
        name = str(found.softmax.name)
        heads, width = _heads(found.queries)
        new: list[ir.Node] = []
        sides = [found.queries, found.keys]
        if found.mask is not None:
            for place, more in enumerate(self._dimension(found.mask, heads, found.softmax)):
                new.append(ir.node("Concat", [sides[place], more], {"axis": 3}, name=f"{name}_side{place}"))
                sides[place] = new[-1].outputs[0]
            width += 1
        sizes = (width, width, _heads(found.values)[1])
        merged = [
            ir.node("Reshape", [side, int64(self.graph, [0, 0, heads * size])], name=f"{name}_input{place}")
            for place, (side, size) in enumerate(zip([*sides, found.values], sizes, strict=True))
        ]
        fused = ir.node(
            _KIND,
            [node.outputs[0] for node in merged],
            {"num_heads": heads, "scale": found.scale},
            domain=_CONTRIB,
            name=name,
        )
        self.graph.insert_before(found.softmax, [*new, *merged, fused])
        take_over(found.last.outputs[0], fused.outputs[0])
        remove_unread(self.graph, found.last)
        self.changed = True

    def _dimension(self, mask: ir.Value, heads: int, before: ir.Node) -> tuple[ir.Value, ir.Value]:
        """[batch, frames, heads, 1] of the queries and of the keys, computed once for all layers."""
        if (mask, heads) not in self._further:
            name = f"{mask.name}_dimension"
            one, zero, low = (
                initializer(self.graph, f"{name}_{word}", np.array(number, dtype=np.float32))
                for word, number in (("one", 1.0), ("zero", 0.0), ("low", _LOW))
            )
            turned = ir.node("Transpose", [mask], {"perm": [0, 3, 1, 2]}, name=f"{name}_turned")
            added = ir.node("Where", [turned.outputs[0], zero, low], name=f"{name}_added")
            length = ir.node("Shape", [mask], {"start": 3}, name=f"{name}_length")
            batch = ir.node("Shape", [mask], {"end": 1}, name=f"{name}_batch")
            parts = [batch.outputs[0], length.outputs[0], int64(self.graph, [heads, 1])]
            shape = ir.node("Concat", parts, {"axis": 0}, name=f"{name}_shape")
            of_queries = ir.node("Expand", [one, shape.outputs[0]], name=f"{name}_queries")
            of_keys = ir.node("Expand", [added.outputs[0], shape.outputs[0]], name=f"{name}_keys")
            self.graph.insert_before(before, [turned, added, length, batch, shape, of_queries, of_keys])
            self._further[mask, heads] = of_queries.outputs[0], of_keys.outputs[0]
        return self._further[mask, heads]


def _scale(scores: ir.Value) -> tuple[float, ir.Value]:
    """The constant that products are multiplied with, and they themselves."""
    node = made_by(scores, "Mul")
    if node is not None:
        for value, other in (node.inputs, reversed(node.inputs)):
            number = constant(value)
            if number is not None and number.size == 1 and other is not None:
                return float(number.numpy().item()), other
    return 1.0, scores


def _heads(value: ir.Value) -> tuple[int, int]:
    assert value.shape is not None  # noqa: S101 - seen by _transposed
    heads, width = value.shape[2], value.shape[3]
    assert isinstance(heads, int) and isinstance(width, int)  # noqa: S101, PT018 - seen by _transposed
    return heads, width


def _transposed(value: ir.Value | None, permutation: tuple[int, ...]) -> ir.Value | None:
    """What a Transpose turns into a value, where it has heads of a known number and width."""
    node = made_by(value, "Transpose")
    if node is None or _permutation(node) != permutation:
        return None
    source = node.inputs[0]
    if source is None or source.shape is None or len(source.shape) != 4:
        return None
    return source if all(isinstance(axis, int) for axis in source.shape[2:]) else None


def _permutation(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints())
