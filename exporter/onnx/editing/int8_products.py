"""What the passes for int8 share: weights stored once, activations rounded once, a product that ONNX Runtime fuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from exporter.onnx.editing.graph_edits import drop_unused, initializer, remove_unread, take_over
from exporter.onnx.editing.int8_weights import Int8Rows, Layout, Roundings

_FLOAT: int = int(ir.DataType.FLOAT)


@dataclass
class Int8Products:
    """Builds int8 products in a graph.

    Attributes:
        graph: changed.
        roundings: of weights, shared with other graphs.
        changed: whether a node has been replaced.
    """

    graph: ir.Graph
    roundings: Roundings = field(default_factory=Roundings)
    changed: bool = False
    _rounded: dict[ir.Value, ir.Node] = field(default_factory=dict)
    """Activations -> their DynamicQuantizeLinear."""
    _weights: dict[tuple[ir.Value, Layout], tuple[ir.Value, ir.Value]] = field(default_factory=dict)
    """Matrix and its layout -> int8 numbers and scales."""

    def rounding(self, activations: ir.Value, name: str) -> tuple[ir.Node, bool]:
        """The DynamicQuantizeLinear of these activations, and whether it is new, to be put into the graph."""
        known = self._rounded.get(activations)
        if known is not None:
            return known, False
        rounded = ir.node("DynamicQuantizeLinear", [activations], num_outputs=3, name=f"{name}_round")
        self._rounded[activations] = rounded
        return rounded, True

    def weights(
        self, matrix: ir.Value, layout: Layout, rows: Callable[[], NDArray[np.float32]]
    ) -> tuple[ir.Value, ir.Value]:
        """Initializers of a weight in int8, made once for each.

        Args:
            matrix: the float32 initializer.
            layout: "rows" where the graph multiplies with its transpose, so that it is stored as [out, in];
                otherwise it is stored as [in, out].
            rows: gives it as [out, in].

        Returns:
            int8 numbers and float32 scales [out].
        """
        if (matrix, layout) not in self._weights:
            assert matrix.const_value is not None  # noqa: S101 - an initializer
            found = self.roundings.of(matrix.const_value, layout, rows)
            if layout != "rows":
                found = Int8Rows(found.numbers.T, found.scales)
            self._weights[matrix, layout] = add_int8(self.graph, str(matrix.name), found)
        return self._weights[matrix, layout]

    def put_in_place(self, node: ir.Node, new: Sequence[ir.Node], weight: ir.Value) -> None:
        """Replace a node by others, the last of which gives its result, and drop what nothing reads any more."""
        self.graph.insert_before(node, new)
        take_over(node.outputs[0], new[-1].outputs[0])
        remove_unread(self.graph, node)
        drop_unused(self.graph, weight)
        self.changed = True


def add_int8(graph: ir.Graph, name: str, rows: Int8Rows) -> tuple[ir.Value, ir.Value]:
    """Initializers ``NAME_int8`` and ``NAME_scale``; those of that name that are there already are used."""
    return (
        initializer(graph, f"{name}_int8", rows.numbers),
        initializer(graph, f"{name}_scale", rows.scales),
    )


def scaled_product(
    name: str, activations: ir.Value, rounded: ir.Node, numbers: ir.Value, scales: ir.Value
) -> list[ir.Node]:
    """Nodes of a float32 product of uint8 activations with int8 weights [in, out]; the last gives it.

    They stand in the pattern that ONNX Runtime fuses into one kernel.

    Args:
        name: of the node that they replace, which their names begin with.
        activations: uint8, as ``rounded`` or a view of it.
        rounded: the DynamicQuantizeLinear behind it: its scale and zero point.
        numbers: int8 [in, out].
        scales: float32 [out].
    """
    product = ir.node("MatMulInteger", [activations, numbers, rounded.outputs[2]], name=f"{name}_int8")
    wide = ir.node("Cast", [product.outputs[0]], {"to": _FLOAT}, name=f"{name}_float")
    scale = ir.node("Mul", [rounded.outputs[1], scales], name=f"{name}_scale")
    scaled = ir.node("Mul", [wide.outputs[0], scale.outputs[0]], name=f"{name}_scaled")
    return [product, wide, scale, scaled]
