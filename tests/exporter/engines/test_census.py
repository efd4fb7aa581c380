"""Which float32 matrix products an fp16 engine may have."""

from __future__ import annotations

import pytest

from exporter.engines.census import Layer, census_of, check_products
from exporter.errors import EngineError

FEED_FORWARD = "encoder.encoder.layers.1.feed_forward"
RESIDUAL = "decoder.layers.0 (residual)"
BLOCKS = {"features": "always", FEED_FORWARD: "activation of 7e4", RESIDUAL: "stream of 8e4"}


def product(node: str, output: str = "FLOAT", kind: str = "MATRIX_MULTIPLY") -> Layer:
    return Layer(kind, output, node)


def test_layers_are_counted_by_type_and_output() -> None:
    layers = [product("a"), product("b", "HALF"), product("c", "HALF"), Layer("SHAPE", "INT64", "d")]
    assert census_of(layers) == {"MATRIX_MULTIPLY": {"FLOAT": 1, "HALF": 2}, "SHAPE": {"INT64": 1}}


@pytest.mark.parametrize(
    "layer",
    [
        product(f"{FEED_FORWARD}/node_MatMul_1"),
        product(f"{FEED_FORWARD}.intermediate_dense/node_MatMul_1"),
        product("features/node_Conv_1", kind="CONVOLUTION"),
        product("decoder.layers.0/node_MatMul_1"),
        product("elsewhere/node_MatMul_1", "HALF"),
        product("elsewhere/node_Softmax_1", kind="SOFTMAX"),
    ],
)
def test_what_an_fp16_engine_may_have(layer: Layer) -> None:
    check_products("encoder", "fp16", [layer], BLOCKS)


@pytest.mark.parametrize(
    "layer",
    [
        product("node_MatMul_1"),
        product("encoder.encoder.layers.1.attention/node_MatMul_1"),
        product("encoder.encoder.layers.10.feed_forward/node_MatMul_1"),
        product("encoder.encoder.layers.1.feed_forward_2/node_MatMul_1"),
        product("featureless/node_Conv_1", kind="CONVOLUTION"),
        # A residual path holds what the module computes itself, without the modules in it.
        product("decoder.layers.0.fc1/node_MatMul_1"),
    ],
)
def test_what_an_fp16_engine_may_not_have(layer: Layer) -> None:
    with pytest.raises(EngineError) as caught:
        check_products("encoder", "fp16", [layer], BLOCKS)
    assert str(caught.value) == (
        "encoder was asked for in fp16, but 1 matrix products compute in float32 outside the blocks that the manifest "
        f"records (decoder.layers.0 (residual), {FEED_FORWARD}, features): {layer.node}: export again with "
        "--precision fp16"
    )


def test_many_products_are_not_all_listed() -> None:
    with pytest.raises(EngineError, match=r"\(none\): n0, n1, n2, n3, n4 and 3 more: export again"):
        check_products("encoder", "fp16", [product(f"n{index}") for index in range(8)], {})


def test_an_fp32_engine_may_have_any() -> None:
    check_products("encoder", "fp32", [product("node_MatMul_1")], {})
