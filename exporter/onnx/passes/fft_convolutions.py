"""Computes long grouped convolutions over time by the discrete Fourier transform, in float32, for CPUs.

The convolutional position embedding of wav2vec 2.0 and its kin looks at 128 frames in 16 groups, which is 8 GFLOP for
10 s of audio. Overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, 8.7.3) needs an eighth of that:
frames are cut into blocks of twice the kernel, half of them shared with the next block; the transform of a block is
multiplied with that of the kernel, frequency by frequency, and of what comes back the first half is free of wrapped
terms. Transforms so short are products with a constant matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from exporter.onnx.editing.convolutions import geometry
from exporter.onnx.editing.graph_edits import initializer, int64, remove_unread, take_over

_MIN_KERNEL: Final = 64
_MIN_CHANNELS: Final = 16
"""Of a group. Below either, the many small products cost more than the convolution of a short utterance."""
_TIME: Final = 1
_CHANNELS_LAST: Final = [0, 2, 1]


@dataclass(frozen=True)
class LongConvolution:
    """A convolution over time that is worth a transform: stride 1, no dilation.

    Attributes:
        weight: float32 [groups x outputs, inputs, kernel]; it may be computed, as weight normalisation does.
        bias: float32 [groups x outputs]; None where it has none.
        groups: each with channels of its own.
        inputs: channels of a group.
        outputs: channels of a group.
        kernel: frames that an output looks at.
        pads: frames of zeros before and behind.
    """

    weight: ir.Value
    bias: ir.Value | None
    groups: int
    inputs: int
    outputs: int
    kernel: int
    pads: tuple[int, int]

    @property
    def frequencies(self) -> int:
        """Of the transform of a block, which is real and 2 x kernel long."""
        return self.kernel + 1


def long_convolution(node: ir.Node) -> LongConvolution | None:
    """What a node computes, if it is such a convolution; else None."""
    weight = node.inputs[1] if node.op_type == "Conv" else None
    if weight is None or weight.dtype != ir.DataType.FLOAT or weight.shape is None or len(weight.shape) != 3:
        return None
    found = geometry(node)
    if found is None or found.stride != 1 or found.dilation != 1 or not weight.shape.is_static():
        return None
    out, inputs, kernel = (int(axis) for axis in weight.shape.numpy())
    if kernel < _MIN_KERNEL or min(inputs, out // found.groups) < _MIN_CHANNELS:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return LongConvolution(weight, bias, found.groups, inputs, out // found.groups, kernel, found.pads)


def fft_convolutions(model: ir.Model) -> tuple[ir.Model, bool]:
    """Compute long convolutions by their transforms, in place.

    Like convolutions in int8 it works on [batch, frames, channels], so that transpositions cancel. The transform of the
    weight is left to ONNX Runtime, which computes it once, at load, and then drops the weight itself.
    """
    changed = False
    for node in list(model.graph):
        found = long_convolution(node)
        if found is not None:
            _replace(model.graph, node, found)
            changed = True
    return model, changed


def _replace(graph: ir.Graph, node: ir.Node, found: LongConvolution) -> None:
    assert node.inputs[0] is not None  # noqa: S101 - a Conv has frames
    new = _Nodes(graph, str(node.name))
    frames = new.add("Transpose", [node.inputs[0]], perm=_CHANNELS_LAST)
    length = new.add("Shape", [frames], start=_TIME, end=_TIME + 1)
    outputs = new.add("Add", [length, new.int64(sum(found.pads) - found.kernel + 1)])
    products = _products(new, found, _spectra(new, found, frames, length, outputs))
    result = _back(new, found, products, frames, outputs)
    if found.bias is not None:
        result = new.add("Add", [result, found.bias])
    new.add("Transpose", [result], perm=_CHANNELS_LAST)
    graph.insert_before(node, new.nodes)
    take_over(node.outputs[0], new.nodes[-1].outputs[0])
    remove_unread(graph, node)


class _Nodes:
    """Nodes in the order in which they are added."""

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self.graph = graph
        self.nodes: list[ir.Node] = []
        self._name = name

    def add(self, kind: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
        """A node with one output."""
        return self.several(kind, inputs, 1, **attributes)[0]

    def several(self, kind: str, inputs: list[ir.Value], outputs: int, **attributes: Any) -> list[ir.Value]:
        """A node with so many outputs."""
        name = f"{self._name}_dft{len(self.nodes)}"
        self.nodes.append(ir.node(kind, inputs, attributes, num_outputs=outputs, name=name))
        return list(self.nodes[-1].outputs)

    def int64(self, *numbers: int) -> ir.Value:
        return int64(self.graph, numbers)

    def reshape(self, value: ir.Value, *shape: int) -> ir.Value:
        return self.add("Reshape", [value, self.int64(*shape)])


def _spectra(
    new: _Nodes, found: LongConvolution, frames: ir.Value, length: ir.Value, outputs: ir.Value
) -> ir.Value:
    """Transforms of all blocks: [frequencies, groups, blocks x 2, inputs], real and imaginary part in turns."""
    kernel, channels = found.kernel, found.groups * found.inputs
    blocks = new.add("Div", [new.add("Add", [outputs, new.int64(kernel - 1)]), new.int64(kernel)])
    whole = new.add("Mul", [new.add("Add", [blocks, new.int64(1)]), new.int64(kernel)])
    behind = new.add("Sub", [new.add("Sub", [whole, length]), new.int64(found.pads[0])])
    pads = new.add("Concat", [new.int64(0, found.pads[0], 0, 0), behind, new.int64(0)], axis=0)
    halves = new.reshape(new.add("Pad", [frames, pads]), 0, -1, kernel, channels)
    first = new.add("Slice", [halves, new.int64(0), new.int64(-1), new.int64(_TIME)])
    second = new.add("Slice", [halves, new.int64(1), new.int64(np.iinfo(np.int64).max), new.int64(_TIME)])
    both = new.add("Concat", [first, second], axis=2)
    spectra = new.add("MatMul", [_matrix(new.graph, "dft", _transform(2 * kernel)), both])
    parts = new.reshape(spectra, -1, 2, found.frequencies, found.groups, found.inputs)
    turned = new.add("Transpose", [parts], perm=[2, 3, 0, 1, 4])
    return new.reshape(turned, found.frequencies, found.groups, -1, found.inputs)


def _products(new: _Nodes, found: LongConvolution, spectra: ir.Value) -> ir.Value:
    """Transforms of the outputs: [blocks, 2 x frequencies, groups x outputs], imaginary parts behind the real ones.

    A kernel that runs along with time multiplies with its conjugate: (a + bi)(c - di) = (ac + bd) + (bc - ad)i.
    """
    kernel, outputs = found.kernel, found.outputs
    columns = _matrix(new.graph, "dft_kernel", np.ascontiguousarray(_transform(2 * kernel)[:, :kernel].T))
    weight = new.add("MatMul", [found.weight, columns])
    parts = new.reshape(weight, found.groups, outputs, found.inputs, 2, found.frequencies)
    turned = new.add("Transpose", [parts], perm=[4, 0, 2, 3, 1])
    kernels = new.reshape(turned, found.frequencies, found.groups, found.inputs, 2 * outputs)
    four = new.reshape(
        new.add("MatMul", [spectra, kernels]), found.frequencies, found.groups, -1, 2, 2, outputs
    )
    real, imaginary = new.several("Split", [four], 2, axis=3, num_outputs=2)
    ac, ad = new.several("Split", [real], 2, axis=4, num_outputs=2)
    bc, bd = new.several("Split", [imaginary], 2, axis=4, num_outputs=2)
    complete = new.add("Concat", [new.add("Add", [ac, bd]), new.add("Sub", [bc, ad])], axis=3)
    ordered = new.add("Transpose", [complete], perm=[2, 3, 0, 1, 4, 5])
    return new.reshape(ordered, -1, 2 * found.frequencies, found.groups * outputs)


def _back(
    new: _Nodes, found: LongConvolution, products: ir.Value, frames: ir.Value, outputs: ir.Value
) -> ir.Value:
    """What the convolution gives: [batch, frames, groups x outputs]."""
    matrix = _matrix(new.graph, "dft_back", _inverse(2 * found.kernel))
    blocks = new.add("MatMul", [matrix, products])
    batch = new.add("Shape", [frames], start=0, end=1)
    shape = new.add("Concat", [batch, new.int64(-1, found.groups * found.outputs)], axis=0)
    joined = new.add("Reshape", [blocks, shape])
    return new.add("Slice", [joined, new.int64(0), outputs, new.int64(_TIME)])


def _matrix(graph: ir.Graph, kind: str, array: NDArray[np.float32]) -> ir.Value:
    return initializer(graph, f"{kind}_{array.shape[0]}_{array.shape[1]}", array)


def _angles(size: int) -> NDArray[np.float64]:
    """[size / 2 + 1 frequencies, size samples]; whole turns are left out, so that large products stay exact."""
    turns = np.outer(np.arange(size // 2 + 1), np.arange(size)) % size
    return np.multiply(turns, 2 * np.pi / size, dtype=np.float64)


def _transform(size: int) -> NDArray[np.float32]:
    """The transform of real samples: [2 x frequencies, size], imaginary parts behind the real ones."""
    angles = _angles(size)
    return np.concatenate([np.cos(angles), -np.sin(angles)]).astype(np.float32)


def _inverse(size: int) -> NDArray[np.float32]:
    """Back, for the first half of the samples: [size / 2, 2 x frequencies].

    Each frequency but the first and the last stands for its mirror image too.
    """
    angles = _angles(size)[:, : size // 2]
    twice = np.full((len(angles), 1), 2 / size)
    twice[[0, -1]] = 1 / size
    return np.concatenate([twice * np.cos(angles), -twice * np.sin(angles)]).T.astype(np.float32, order="C")
