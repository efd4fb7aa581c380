"""Convolutions over time as one product: what they compute, and the windows of frames that it multiplies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import onnx_ir as ir

from exporter.onnx.editing.graph_edits import constant, int64

_TIME: Final = 1
"""The axis of frames behind the transposition: [batch, frames, channels]."""


@dataclass(frozen=True)
class Geometry:
    """Attributes of a Conv over time.

    Attributes:
        groups: each with channels of its own.
        stride: frames from one window to the next.
        dilation: frames from one tap to the next.
        pads: frames of zeros before and behind.
    """

    groups: int
    stride: int
    dilation: int
    pads: tuple[int, int]


def geometry(node: ir.Node) -> Geometry | None:
    """Of a Conv over time; None where it is padded automatically, or is no Conv."""
    numbers = node.attributes
    if node.op_type != "Conv" or ("auto_pad" in numbers and numbers["auto_pad"].as_string() != "NOTSET"):
        return None

    def integers(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(numbers[name].as_ints()) if name in numbers else default

    groups = numbers["group"].as_int() if "group" in numbers else 1
    before, behind = integers("pads", (0, 0))
    return Geometry(groups, integers("strides", (1,))[0], integers("dilations", (1,))[0], (before, behind))


@dataclass(frozen=True)
class Convolution:
    """A Conv over time that is one product: no groups, no dilation.

    Attributes:
        weight: float32 [out, in, kernel].
        bias: float32 [out]; None where it has none.
        stride: frames from one window to the next.
        pads: frames of zeros before and behind.
        terms: products that an output adds up.
    """

    weight: ir.Value
    bias: ir.Value | None
    stride: int
    pads: tuple[int, int]
    terms: int


def convolution(node: ir.Node) -> Convolution | None:
    """What a node computes, if it is such a convolution with a constant float32 weight; else None."""
    weight = constant(node.inputs[1]) if node.op_type == "Conv" else None
    if weight is None or weight.dtype != ir.DataType.FLOAT or len(weight.shape) != 3:
        return None
    found = geometry(node)
    if found is None or found.groups != 1 or found.dilation != 1:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    assert node.inputs[1] is not None  # noqa: S101 - constant has seen it
    terms = weight.size // int(weight.shape.numpy()[0])
    return Convolution(node.inputs[1], bias, found.stride, found.pads, terms)


def windows(
    graph: ir.Graph, name: str, frames: ir.Value, channels: int, kernel: int, stride: int
) -> list[ir.Node]:
    """Windows [batch, windows, kernel x channels] of frames [batch, frames, channels]; the last node gives them.

    Column j * channels + c of a window is channel c of its frame j. Each run of ``stride`` frames is one copy without
    gaps; what is left of the kernel is a copy with gaps.
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
