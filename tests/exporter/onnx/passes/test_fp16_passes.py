"""The passes for fp16 graphs: finite masks, and nodes named after the module that they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from exporter.onnx.passes.finite_constants import finite_constants
from exporter.onnx.passes.name_blocks import name_blocks

INF = float("inf")
SCOPES = "pkg.torch.onnx.name_scopes"


def model_of(nodes: list[ir.Node], *constants: ir.Value) -> ir.Model:
    graph = ir.Graph([], [], nodes=nodes, initializers=constants, opset_imports={"": 20}, name="g")
    return ir.Model(graph, ir_version=10)


def constant(numbers: list[float], dtype: Any = np.float16) -> ir.Value:
    return ir.val("mask", const_value=ir.tensor(np.array(numbers, dtype=dtype), name="mask"))


def test_negative_infinity_becomes_the_lowest_float16() -> None:
    model, changed = finite_constants(model_of([], constant([0, -INF, 3])))
    assert changed
    value = model.graph.initializers["mask"].const_value
    assert value is not None
    assert value.dtype == ir.DataType.FLOAT16
    assert value.numpy().tolist() == [0, -65504, 3]
    assert not finite_constants(model)[1]


def test_constant_nodes_are_changed_as_well() -> None:
    tensor = ir.tensor(np.array(-INF, dtype=np.float16), name="c")
    node = ir.node("Constant", [], {"value": tensor})
    _model, changed = finite_constants(model_of([node]))
    assert changed
    assert float(node.attributes["value"].as_tensor().numpy()) == -65504


@pytest.mark.parametrize(
    "kept",
    [constant([0, -65504]), constant([INF]), constant([-INF], np.float32), constant([-INF], np.float64)],
)
def test_other_constants_are_left(kept: ir.Value) -> None:
    before = kept.const_value
    model, changed = finite_constants(model_of([], kept))
    assert not changed
    assert model.graph.initializers["mask"].const_value is before


def named(scopes: str | None) -> ir.Node:
    node = ir.node("Relu", [ir.val("x")], name="node_relu")
    if scopes is not None:
        node.metadata_props[SCOPES] = scopes
    return node


@pytest.mark.parametrize(
    ("scopes", "name"),
    [
        ("['', 'encoder', 'encoder.layers.1', 'relu_3']", "encoder.layers.1/node_relu"),
        ("['', 'features', 'relu']", "features/node_relu"),
        ("['', 'relu']", "node_relu"),
        ("['_empty_nn_module_stack_from_metadata_hook', 'relu']", "node_relu"),
        (None, "node_relu"),
    ],
)
def test_nodes_are_named_after_the_innermost_module(scopes: str | None, name: str) -> None:
    node = named(scopes)
    model, changed = name_blocks(model_of([node]))
    assert node.name == name
    assert changed == (name != "node_relu")
    assert not name_blocks(model)[1]
