"""Computes a convolution of raw audio as a product, where frames are wanted behind each other, for CPUs."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx_ir as ir

from exporter.onnx.editing.convolutions import Convolution, convolution, windows
from exporter.onnx.editing.graph_edits import initializer, int64, remove_unread, take_over

_CHANNELS_LAST: Final = (0, 2, 1)


def multiply_sample_windows(model: ir.Model) -> tuple[ir.Model, bool]:
    """Compute convolutions of one channel as products over windows of samples, in place.

    Only where every reader transposes the result to [batch, frames, channels], as layer norms have it: the product
    gives it so, and ONNX Runtime cancels the transpositions. The result is the largest tensor of an encoder (65 MB
    for 10 s of audio), and transposing it costs twice as much as the convolution.
    """
    changed = False
    for node in list(model.graph):
        found = convolution(node)
        if found is not None and not any(found.pads) and _channels(found) == 1 and _is_transposed(node):
            _replace(model.graph, node, found)
            changed = True
    return model, changed


def _channels(found: Convolution) -> int:
    assert found.weight.const_value is not None  # noqa: S101 - seen by convolution
    return int(found.weight.const_value.shape.numpy()[1])


def _is_transposed(node: ir.Node) -> bool:
    result = node.outputs[0]
    readers = [use.node for use in result.uses()]
    return not result.is_graph_output() and all(
        reader.op_type == "Transpose" and tuple(reader.attributes["perm"].as_ints()) == _CHANNELS_LAST
        for reader in readers
    )


def _replace(graph: ir.Graph, node: ir.Node, found: Convolution) -> None:
    name, samples = str(node.name), node.inputs[0]
    assert samples is not None and found.weight.const_value is not None  # noqa: S101, PT018 - a Conv has both
    out, channels, kernel = (int(axis) for axis in found.weight.const_value.shape.numpy())
    turned = ir.node("Transpose", [samples], {"perm": _CHANNELS_LAST}, name=f"{name}_samples")
    sides = windows(graph, name, turned.outputs[0], channels, kernel, found.stride)
    # What is made of constants ONNX Runtime computes once, at load.
    flat = ir.node("Reshape", [found.weight, int64(graph, [out, kernel])], name=f"{name}_taps")
    matrix = ir.node("Transpose", [flat.outputs[0]], {"perm": [1, 0]}, name=f"{name}_matrix")
    new = [turned, *sides, flat, matrix]
    terms, factors = sides[-1].outputs[0], matrix.outputs[0]
    if found.bias is not None:
        # One more sample, which is always 1: adding the bias to the result would write all of it again.
        one = initializer(graph, "float_1", np.array(1, np.float32))
        last = [terms, int64(graph, [0, 0, 0, 0, 0, 1]), one]
        row = ir.node("Reshape", [found.bias, int64(graph, [1, out])], name=f"{name}_bias")
        new += [ir.node("Pad", last, name=f"{name}_and_1"), row]
        new.append(ir.node("Concat", [factors, row.outputs[0]], {"axis": 0}, name=f"{name}_with_bias"))
        terms, factors = new[-3].outputs[0], new[-1].outputs[0]
    product = ir.node("MatMul", [terms, factors], name=f"{name}_product")
    new += [product, ir.node("Transpose", [product.outputs[0]], {"perm": _CHANNELS_LAST}, name=name)]
    graph.insert_before(node, new)
    take_over(node.outputs[0], new[-1].outputs[0])
    remove_unread(graph, node)
