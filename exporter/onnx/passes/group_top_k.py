"""Finds the best of a large vocabulary group by group, for CPUs."""

from __future__ import annotations

import math
from typing import Final

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import int64, remove_unread, take_over

_MIN_COLUMNS: Final = 1 << 16
"""With fewer a TopK is over before this would pay."""
_USUAL: Final = 10
"""Candidates that beam search asks for, about: two a beam."""
_SIZES: Final = (32, 1024)
"""Smallest and largest group that is worth its bookkeeping."""


def group_top_k(model: ir.Model) -> tuple[ir.Model, bool]:
    """Look for the best values of long rows among the groups with the largest maxima, in place.

    The k best of a row lie in the k groups whose maxima are largest, so that one quick pass over the row is enough
    (ReduceMax; TopK looks at each value with a heap) and TopK sees those groups alone. Among equals the lower index
    goes first, here as there: a group that is left out has k others before it, each with a value that comes first.

    Args:
        model: changed.
    """
    changed = False
    for node in [one for one in model.graph if one.op_type == "TopK"]:
        grouping = _grouping(node)
        if grouping is not None:
            _replace(model.graph, node, *grouping)
            changed = True
    return model, changed


def _grouping(top: ir.Node) -> tuple[int, int] | None:
    """Number and size of the groups of a row that cost least; None where there are none, or nothing to win."""
    shape = None if top.inputs[0] is None else top.inputs[0].shape
    columns = None if shape is None else shape[-1]
    plain = all(
        name not in top.attributes or top.attributes[name].as_int() == usual
        for name, usual in (("axis", -1), ("largest", 1), ("sorted", 1))
    )
    if (
        shape is None
        or len(shape) != 3
        or not isinstance(columns, int)
        or columns < _MIN_COLUMNS
        or not plain
    ):
        return None
    sizes = [size for size in range(_SIZES[0], _SIZES[1] + 1) if columns % size == 0]
    best = math.sqrt(
        columns / _USUAL
    )  # columns / size maxima and _USUAL * size values are looked at with a heap
    if not sizes:
        return None
    size = min(sizes, key=lambda size: abs(math.log(size / best)))
    return columns // size, size


def _replace(graph: ir.Graph, top: ir.Node, groups: int, size: int) -> None:
    (values, count), name = top.inputs[:2], str(top.name)
    new: list[ir.Node] = []

    def add(
        kind: str, inputs: list[ir.Value | None], result: int = 0, outputs: int = 1, **attributes: int
    ) -> ir.Value:
        node = ir.node(kind, inputs, attributes, num_outputs=outputs, name=f"{name}_{len(new)}_{kind}")
        new.append(node)
        return node.outputs[result]

    rows = add("Reshape", [values, int64(graph, [-1, groups, size])])
    peaks = add("ReduceMax", [rows, int64(graph, [-1])], keepdims=0)
    several = add("Min", [count, int64(graph, [groups])])
    best = add("TopK", [peaks, several], result=1, outputs=2)
    # Back into the order of the row, for equals.
    chosen = add("TopK", [best, several], outputs=2, largest=0)
    which = add("Unsqueeze", [chosen, int64(graph, [-1])])
    pool = add("GatherND", [rows, which], batch_dims=1)
    flat = add("Reshape", [pool, int64(graph, [0, -1])])
    found = add("TopK", [flat, count], outputs=2)
    place = new[-1].outputs[1]
    group = add("GatherElements", [chosen, add("Div", [place, int64(graph, [size])])], axis=1)
    start = add("Mul", [group, int64(graph, [size])])
    index = add("Add", [start, add("Mod", [place, int64(graph, [size])])])
    shape = add("Concat", [add("Shape", [values], end=2), count], axis=0)
    results = [add("Reshape", [one, shape]) for one in (found, index)]
    graph.insert_before(top, new)
    for old, result in zip(top.outputs, results, strict=True):
        take_over(old, result)
    remove_unread(graph, top)
