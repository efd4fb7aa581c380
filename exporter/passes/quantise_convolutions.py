"""Turns convolutions over time into products of int8, for CPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from exporter.passes.graph_edits import constant, int64
from exporter.passes.int8_products import Int8Products, scaled_product
from exporter.passes.int8_weights import Roundings

_TIME: Final = 1
"""The axis of frames behind the transposition: [batch, frames, channels]."""
_MIN_TERMS: Final = 128
"""Products per output below which a convolution stays: the first one looks at ten samples of raw audio, which
costs nothing and needs more digits than int8 has."""


@dataclass(frozen=True)
class Convolution:
    """A Conv over time that is one product: no groups, no dilation.

    Attributes:
        weight: float32 [out, in, kernel].
        bias: float32 [out]; None where it has none.
        stride: frames from one window to the next.
        pads: frames of zeros before and behind.
    """

    weight: ir.Value
    bias: ir.Value | None
    stride: int
    pads: tuple[int, int]


def convolution(node: ir.Node) -> Convolution | None:
    """What a node computes, if it is such a convolution with a constant float32 weight; else None."""
    weight = constant(node.inputs[1]) if node.op_type == "Conv" else None
    if weight is None or weight.dtype != ir.DataType.FLOAT or len(weight.shape) != 3:
        return None
    numbers = node.attributes

    def integers(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(numbers[name].as_ints()) if name in numbers else default

    plain = "group" not in numbers or numbers["group"].as_int() == 1
    automatic = "auto_pad" in numbers and numbers["auto_pad"].as_string() != "NOTSET"
    terms = weight.size // weight.numpy().shape[0]
    if not plain or automatic or integers("dilations", (1,)) != (1,) or terms < _MIN_TERMS:
        return None
    before, behind = integers("pads", (0, 0))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    assert node.inputs[1] is not None  # noqa: S101 - constant has seen it
    return Convolution(node.inputs[1], bias, integers("strides", (1,))[0], (before, behind))


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
        found = None if keep(node) else convolution(node)
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
    windows = _windows(products.graph, name, rounded.outputs[0], channels, kernel, found.stride)
    # Row j * channels + c of the matrix multiplies channel c of the window's frame j.
    weight = found.weight.const_value.numpy
    numbers, scales = products.weights(
        found.weight,
        "windows",
        lambda: np.ascontiguousarray(weight().transpose(0, 2, 1)).reshape(out, -1),
    )
    scaled = scaled_product(name, windows[-1].outputs[0], rounded, numbers, scales)
    new += [rounded, *windows, *scaled]
    if found.bias is not None:
        new.append(ir.node("Add", [new[-1].outputs[0], found.bias], name=f"{name}_bias"))
    new.append(ir.node("Transpose", [new[-1].outputs[0]], {"perm": [0, 2, 1]}, name=name))
    products.put_in_place(node, new, found.weight)


def _windows(
    graph: ir.Graph, name: str, frames: ir.Value, channels: int, kernel: int, stride: int
) -> list[ir.Node]:
    """Windows [batch, windows, kernel x channels] of frames [batch, frames, channels]; the last node gives them.

    Each run of ``stride`` frames is one copy without gaps; what is left of the kernel is a copy with gaps.
    """
    size = ir.node("Shape", [frames], {"start": 1, "end": 2}, name=f"{name}_length")
    beyond = ir.node("Sub", [size.outputs[0], int64(graph, [kernel])], name=f"{name}_beyond")
    strides = ir.node("Div", [beyond.outputs[0], int64(graph, [stride])], name=f"{name}_strides")
    count = ir.node("Add", [strides.outputs[0], int64(graph, [1])], name=f"{name}_count")
    span = ir.node("Mul", [count.outputs[0], int64(graph, [stride])], name=f"{name}_span")
    nodes, parts = [size, beyond, strides, count, span], []
    for first in range(0, kernel - stride + 1, stride):
        end = ir.node("Add", [span.outputs[0], int64(graph, [first])], name=f"{name}_end{first}")
        inputs = [frames, int64(graph, [first]), end.outputs[0], int64(graph, [_TIME])]
        run = ir.node("Slice", inputs, name=f"{name}_run{first}")
        shape = int64(graph, [0, -1, stride * channels])
        parts.append(ir.node("Reshape", [run.outputs[0], shape], name=f"{name}_taps{first}"))
        nodes += [end, run, parts[-1]]
    for tap in range(kernel - kernel % stride, kernel):
        end = ir.node("Add", [span.outputs[0], int64(graph, [tap - stride + 1])], name=f"{name}_end{tap}")
        inputs = [frames, int64(graph, [tap]), end.outputs[0], int64(graph, [_TIME]), int64(graph, [stride])]
        parts.append(ir.node("Slice", inputs, name=f"{name}_tap{tap}"))
        nodes += [end, parts[-1]]
    if len(parts) > 1:
        sides = [part.outputs[0] for part in parts]
        nodes.append(ir.node("Concat", sides, {"axis": 2}, name=f"{name}_windows"))
    return nodes
