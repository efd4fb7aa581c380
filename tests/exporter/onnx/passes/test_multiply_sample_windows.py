"""The convolution of raw audio as a product, against Conv in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.graphs.built_models import constant, kinds, run

from exporter.onnx.passes.multiply_sample_windows import multiply_sample_windows

RNG = np.random.default_rng(5)
OUT = 24


def convolved(
    kernel: int,
    stride: int,
    *,
    channels: int = 1,
    bias: bool = True,
    perm: tuple[int, ...] = (0, 2, 1),
    pad: int = 0,
) -> ir.Model:
    samples = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", channels, "t"]))
    constants = [constant("weight", RNG.standard_normal((OUT, channels, kernel)).astype(np.float32))]
    if bias:
        constants.append(constant("bias", RNG.standard_normal(OUT).astype(np.float32)))
    attributes = {"strides": [stride], "pads": [pad, pad]}
    conv = ir.node("Conv", [samples, *constants], attributes, name="encoder.conv/node")
    turned = ir.node("Transpose", [conv.outputs[0]], {"perm": perm}, name="encoder.norm/turned")
    output = turned.outputs[0]
    output.name, output.type, output.shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape([None] * 3)
    graph = ir.Graph(
        [samples], [output], nodes=[conv, turned], initializers=constants, opset_imports={"": 20}, name="g"
    )
    return ir.Model(graph, ir_version=10)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "samples"), [(10, 5, 4003), (10, 5, 10), (3, 2, 50), (7, 3, 100)]
)
def test_it_gives_what_the_convolution_gives(
    tmp_path: Path, kernel: int, stride: int, samples: int, bias: bool
) -> None:
    model = convolved(kernel, stride, bias=bias)
    given = RNG.standard_normal((2, 1, samples)).astype(np.float32)
    wanted = run(model, tmp_path, x=given)
    assert multiply_sample_windows(model)[1]
    assert "Conv" not in kinds(model)
    assert "Add" not in [node.op_type for node in model.graph if str(node.name).endswith("bias")]
    np.testing.assert_allclose(run(model, tmp_path, x=given), wanted, atol=1e-5)


def read_as_it_is() -> ir.Model:
    """A group norm wants channels first."""
    model = convolved(10, 5)
    (conv, turned) = model.graph
    norm = ir.node("Relu", [conv.outputs[0]], name="encoder.norm/node")
    turned.replace_input_with(0, norm.outputs[0])
    model.graph.insert_before(turned, norm)
    return model


@pytest.mark.parametrize(
    "model",
    [
        convolved(10, 5, channels=2),
        convolved(10, 5, pad=3),
        convolved(10, 5, perm=(2, 0, 1)),
        read_as_it_is(),
    ],
    ids=["channels", "padding", "another order", "channels first"],
)
def test_other_convolutions_are_left(model: ir.Model) -> None:
    assert not multiply_sample_windows(model)[1]
    assert "Conv" in kinds(model)
