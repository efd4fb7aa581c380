"""Turns convolutions over time into products of int8, for CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import onnx_ir as ir

from exporter.onnx.editing.convolutions import Convolution, convolution, windows
from exporter.onnx.editing.graph_edits import int64
from exporter.onnx.editing.int8_products import Int8Products, scaled_product
from exporter.onnx.editing.int8_weights import Roundings

_MIN_TERMS: Final = 128
"""Below it a convolution stays in float32: the first one looks at ten samples of raw audio, which costs nothing and
needs more digits than int8 has."""


def quantisable(node: ir.Node) -> Convolution | None:
    """The convolution of a node if it has a form in int8; else None."""
    found = convolution(node)
    return None if found is None or found.terms < _MIN_TERMS else found


def quantise_convolutions(
    model: ir.Model, keep: Callable[[ir.Node], bool] = lambda _: False, roundings: Roundings | None = None
) -> tuple[ir.Model, bool]:
    """Compute convolutions over time as products of int8, in place.

    Frames are rounded once to uint8, then windows of them are laid side by side, so that what is copied is a
    quarter of what it would be in float32. The product works on [batch, frames, channels]; the transpositions
    around it cancel with those of the layer norms, which ONNX Runtime does at load.

    Args:
        model: changed.
        keep: convolutions to leave in float32.
        roundings: shared with other graphs; None: of this one alone.
    """
    products = Int8Products(model.graph, roundings or Roundings())
    for node in list(model.graph):
        found = None if keep(node) else quantisable(node)
        if found is not None:
            _replace(products, node, found)
    return model, products.changed


def _replace(products: Int8Products, node: ir.Node, found: Convolution) -> None:
    name, frames = str(node.name), node.inputs[0]
    assert frames is not None and found.weight.const_value is not None  # noqa: S101, PT018 - a Conv has both
    out, channels, kernel = (int(axis) for axis in found.weight.const_value.shape.numpy())
    turned = ir.node("Transpose", [frames], {"perm": [0, 2, 1]}, name=f"{name}_frames")
    new, last = [turned], turned.outputs[0]
    if any(found.pads):
        pads = int64(products.graph, [0, found.pads[0], 0, 0, found.pads[1], 0])
        new.append(ir.node("Pad", [last, pads], name=f"{name}_pad"))
        last = new[-1].outputs[0]
    rounded = ir.node("DynamicQuantizeLinear", [last], num_outputs=3, name=f"{name}_round")
    sides = windows(products.graph, name, rounded.outputs[0], channels, kernel, found.stride)
    # Row j * channels + c of the matrix multiplies channel c of the window's frame j.
    weight = found.weight.const_value.numpy
    numbers, scales = products.weights(
        found.weight,
        "windows",
        lambda: np.ascontiguousarray(weight().transpose(0, 2, 1)).reshape(out, -1),
    )
    scaled = scaled_product(name, sides[-1].outputs[0], rounded, numbers, scales)
    new += [rounded, *sides, *scaled]
    if found.bias is not None:
        new.append(ir.node("Add", [new[-1].outputs[0], found.bias], name=f"{name}_bias"))
    new.append(ir.node("Transpose", [new[-1].outputs[0]], {"perm": [0, 2, 1]}, name=name))
    products.put_in_place(node, new, found.weight)
