"""Convolutions in int8, against float32's Conv in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.graphs.built_models import Array, constant, kinds, run

from exporter.onnx.passes.quantise_convolutions import quantisable, quantise_convolutions

RNG = np.random.default_rng(3)
CHANNELS, OUT = 64, 20


def convolved(kernel: int, *, channels: int = CHANNELS, bias: bool = True, **attributes: object) -> ir.Model:
    frames = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", channels, "t"]))
    group = attributes.get("group", 1)
    assert isinstance(group, int)
    weight = (
        RNG.standard_normal((OUT, channels // group, kernel)) * RNG.uniform(0.1, 3, (OUT, 1, 1))
    ).astype(np.float32)
    constants = [constant("conv.weight", weight)]
    if bias:
        constants.append(constant("conv.bias", RNG.standard_normal(OUT).astype(np.float32)))
    node = ir.node("Conv", [frames, *constants], attributes, name="encoder.conv/node")
    output = node.outputs[0]
    output.name, output.type, output.shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape([None] * 3)
    graph = ir.Graph(
        [frames], [output], nodes=[node], initializers=constants, opset_imports={"": 20}, name="g"
    )
    return ir.Model(graph, ir_version=10)


def compare(model: ir.Model, directory: Path, frames: Array) -> None:
    weight = model.graph.initializers["conv.weight"].const_value
    assert weight is not None
    wanted = run(model, directory, x=frames)
    changed = quantise_convolutions(model)[1]
    assert changed
    assert "Conv" not in kinds(model)
    found = run(model, directory, x=frames)
    assert found.shape == wanted.shape
    # Channel by channel, since each has its own scale: the error of a sum of so many rounded terms.
    norms = np.linalg.norm(weight.numpy().reshape(OUT, -1), axis=1)
    off = np.abs(found - wanted).max(axis=(0, 2)) / (norms * np.abs(frames).max())
    assert 0 < off.max() < 0.03


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        (3, 2, (0, 0)),
        (2, 2, (0, 0)),
        (3, 2, (1, 1)),
        (10, 5, (0, 0)),
        (8, 3, (2, 0)),
        (3, 1, (1, 1)),
        (3, 3, (0, 2)),
        (4, 7, (0, 0)),
    ],
)
@pytest.mark.parametrize("length", [37, 38, 39, 40])
def test_a_convolution_stays_near_float32(
    tmp_path: Path, kernel: int, stride: int, pads: tuple[int, int], length: int
) -> None:
    model = convolved(kernel, strides=[stride], pads=list(pads))
    compare(model, tmp_path, RNG.standard_normal((2, CHANNELS, length)).astype(np.float32))


def test_a_single_window_is_enough(tmp_path: Path) -> None:
    model = convolved(3, strides=[2], bias=False)
    compare(model, tmp_path, RNG.standard_normal((1, CHANNELS, 3)).astype(np.float32))


def test_padding_is_exactly_zero(tmp_path: Path) -> None:
    # All frames are far from zero, so that a padding which is not zero would show.
    model = convolved(3, strides=[1], pads=[1, 1], bias=False)
    frames = 10 + RNG.standard_normal((1, CHANNELS, 30)).astype(np.float32)
    compare(model, tmp_path, frames)


def test_what_is_copied_into_windows_is_rounded_already() -> None:
    model, _ = quantise_convolutions(convolved(3, strides=[2]))
    (joined,) = [node for node in model.graph if node.op_type == "Concat"]
    (rounded,) = [node for node in model.graph if node.op_type == "DynamicQuantizeLinear"]
    (run_,) = [node for node in model.graph if node.name == "encoder.conv/node_run0"]
    assert run_.inputs[0] is rounded.outputs[0]
    assert [value.producer().op_type for value in joined.inputs if value] == ["Reshape", "Slice"]  # type: ignore[union-attr]


def test_no_weight_is_left_in_float32() -> None:
    model, _ = quantise_convolutions(convolved(3, strides=[2]))
    types = {
        name: value.const_value.dtype
        for name, value in model.graph.initializers.items()
        if value.const_value is not None and value.const_value.dtype != ir.DataType.INT64
    }
    assert types == {
        "conv.weight_int8": ir.DataType.INT8,
        "conv.weight_scale": ir.DataType.FLOAT,
        "conv.bias": ir.DataType.FLOAT,
    }


@pytest.mark.parametrize(
    "model",
    [
        convolved(3, group=4),
        convolved(3, dilations=[2]),
        convolved(3, auto_pad="SAME_UPPER"),
        convolved(10, channels=1),
    ],
    ids=["groups", "dilation", "automatic padding", "raw audio"],
)
def test_other_convolutions_are_left(model: ir.Model) -> None:
    assert not quantise_convolutions(model)[1]
    assert all(quantisable(node) is None for node in model.graph)


def test_convolutions_to_keep_are_left() -> None:
    model, changed = quantise_convolutions(
        convolved(3), keep=lambda node: str(node.name).startswith("encoder.conv/")
    )
    assert not changed
    assert kinds(model) == ["Conv"]
