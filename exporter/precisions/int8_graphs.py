"""The int8 graphs of a bundle, made from its float32 ones: no checkpoint is needed.

What is done where, by measurement (docs/performance.md has the figures):

| place | int8 |
|---|---|
| products with weights, output projection included | dynamic: weights by output channel, activations by call |
| queries, keys and values of an attention | the same, in one product |
| convolutions over time, without groups | the same, on windows of the rounded frames |
| first convolution | none: few weights, and raw audio needs more digits; a product where layer norms follow |
| grouped convolutions | none: few weights; by their Fourier transform where they are long |
| embedding tables | rows with a scale each; what is looked up is scaled |
| log-softmax of the logits | none, but ONNX's operator in place of its parts |
| the best candidates | looked for in the groups of columns with the largest maxima |
| self-attention of the encoder | none, but ONNX Runtime's fused operator: these graphs are for its CPU provider alone |
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

import onnx_ir as ir

from exporter.onnx.block_names import in_blocks
from exporter.onnx.editing.int8_weights import Roundings
from exporter.onnx.passes.fft_convolutions import fft_convolutions
from exporter.onnx.passes.fuse_attention import fuse_attention
from exporter.onnx.passes.fuse_log_softmax import fuse_log_softmax
from exporter.onnx.passes.group_top_k import group_top_k
from exporter.onnx.passes.join_qkv_products import join_qkv_products
from exporter.onnx.passes.multiply_sample_windows import multiply_sample_windows
from exporter.onnx.passes.quantise_convolutions import quantisable, quantise_convolutions
from exporter.onnx.passes.quantise_products import constant_matrix, quantise_products
from exporter.onnx.passes.quantise_tables import quantise_tables
from exporter.onnx.passes.share_weights import share_weights
from exporter.onnx.passes.split_gemms import split_gemms
from exporter.onnx.write_graphs import DECODER_WEIGHTS, ENCODER_WEIGHTS

_FILES: Final = {
    ENCODER_WEIGHTS: ("encoder.onnx",),
    DECODER_WEIGHTS: ("decoder_first_step.onnx", "decoder_with_past.onnx"),
}
"""Weight file -> the graphs that point into it."""
_WHY_FLOAT32: Final = "a convolution with groups or with few products an output: nothing would be won"


def write_int8_graphs(source: Path, directory: Path, *, float32: Collection[str] = ()) -> None:
    """Write the three graphs in int8.

    Args:
        source: holds the three float32 graphs and their weights.
        directory: exists; receives the files of the same names.
        float32: blocks to leave in float32, by the names that a precision policy gives them.
    """
    roundings = Roundings()
    for weights, names in _FILES.items():
        models = [_rounded(source / name, float32, roundings) for name in names]
        share_weights(models, directory, weights)
        for name, model in zip(names, models, strict=True):
            ir.save(model, directory / name)


def write_trial_graphs(
    source: Path, directory: Path, *, float32: Collection[str], roundings: Roundings
) -> None:
    """Write the two graphs that a trial runs, quickly: what stays in float32 is copied file by file, not gathered.

    Args:
        source: holds the three float32 graphs and their weights.
        directory: exists.
        float32: blocks to leave in float32.
        roundings: shared by all trials.
    """
    for weights, graphs in _FILES.items():
        model = _rounded(source / graphs[-1], float32, roundings)
        if float32:
            # Not linked: onnx_ir takes a file with two names for an attack, in this process and in others.
            shutil.copyfile(source / weights, directory / weights)
            for value in model.graph.initializers.values():
                tensor = value.const_value
                if isinstance(tensor, ir.ExternalTensor):
                    value.const_value = _placed(tensor, directory)
        share_weights([model], directory, f"rounded_{weights}", move=_is_new if float32 else None)
        ir.save(model, directory / graphs[-1])


def _rounded(path: Path, float32: Collection[str], roundings: Roundings) -> ir.Model:
    def keep(node: ir.Node) -> bool:
        return in_blocks(str(node.name), float32)

    model = ir.load(path)
    split_gemms(model)
    quantise_convolutions(model, keep, roundings)
    quantise_products(model, keep, roundings)
    quantise_tables(model, roundings)
    multiply_sample_windows(model)
    fft_convolutions(model)
    join_qkv_products(model)
    fuse_attention(model)
    fuse_log_softmax(model)
    group_top_k(model)
    return model


def _placed(tensor: ir.ExternalTensor, directory: Path) -> ir.ExternalTensor:
    """The same bytes, in a file of the same name elsewhere."""
    return ir.ExternalTensor(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=str(tensor.name),
        base_dir=directory,
    )


def _is_new(tensor: ir.TensorProtocol) -> bool:
    return not isinstance(tensor, ir.ExternalTensor)


def product_sizes(source: Path) -> dict[str, int]:
    """Block -> weights that its products and convolutions in int8 have, in the order of computation.

    Args:
        source: holds the three float32 graphs.
    """
    sizes: dict[str, int] = {}
    for name in ("encoder.onnx", "decoder_with_past.onnx"):
        model, _ = split_gemms(ir.load(source / name))
        for node in model.graph:
            weight = _weight(node)
            if weight is not None and weight.const_value is not None:
                block = str(node.name).rpartition("/")[0]
                sizes[block] = sizes.get(block, 0) + weight.const_value.size
    return sizes


def float32_convolutions(source: Path) -> dict[str, tuple[str, int]]:
    """Block -> why its convolution has no form in int8, and how many weights it has.

    Args:
        source: holds the three float32 graphs.
    """
    found = {}
    for node in ir.load(source / "encoder.onnx").graph:
        # A weight with weight normalisation is computed, so it is no constant.
        shape = node.inputs[1].shape if node.op_type == "Conv" and node.inputs[1] is not None else None
        if shape is not None and quantisable(node) is None:
            size = math.prod(int(axis) for axis in shape.numpy())
            found[str(node.name).rpartition("/")[0]] = (_WHY_FLOAT32, size)
    return found


def _weight(node: ir.Node) -> ir.Value | None:
    matrix, frames = constant_matrix(node), quantisable(node)
    if matrix is not None:
        return matrix[0]
    return None if frames is None else frames.weight
