"""What the passes share: looking at a graph's values, and replacing them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor of an initializer; None for anything else."""
    return None if value is None or not value.is_initializer() else value.const_value


def made_by(value: ir.Value | None, kind: str) -> ir.Node | None:
    """The node that computes a value, if it is of a kind."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == kind else None


def only_reader(value: ir.Value, kind: str) -> ir.Node | None:
    """The one node that reads a value, as its first input; None where it is of another kind."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node if uses[0].node.op_type == kind and uses[0].idx == 0 else None


def initializer(
    graph: ir.Graph, name: str, array: NDArray[np.int8] | NDArray[np.int64] | NDArray[np.float32]
) -> ir.Value:
    """An initializer; the one of that name that is there already is used."""
    if name not in graph.initializers:
        value = ir.val(name, const_value=ir.tensor(np.asarray(array, order="C"), name=name))
        graph.register_initializer(value)
    return graph.initializers[name]


def int64(graph: ir.Graph, numbers: Sequence[int]) -> ir.Value:
    """An initializer of int64 numbers, one for all uses of the same."""
    name = "int64_" + "_".join(map(str, numbers))
    return initializer(graph, name, np.array(numbers, dtype=np.int64))


def drop_unused(graph: ir.Graph, initializer: ir.Value) -> None:
    """Remove an initializer that nothing reads any more."""
    if not initializer.uses() and not initializer.is_graph_output():
        graph.initializers.pop(str(initializer.name), None)


def remove_unread(graph: ir.Graph, node: ir.Node | None) -> None:
    """Remove a node that nothing reads, and then what nothing but it has read."""
    if node is None or node.graph is not graph:
        return
    if any(output.uses() or output.is_graph_output() for output in node.outputs):
        return
    before = [value.producer() for value in node.inputs if value is not None]
    graph.remove(node, safe=True)
    for one in before:
        remove_unread(graph, one)


def take_over(old: ir.Value, new: ir.Value) -> None:
    """Give ``new`` everything that ``old`` was: readers, type, shape and name."""
    new.type, new.shape = old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    name, old.name = old.name, None
    new.name = name
