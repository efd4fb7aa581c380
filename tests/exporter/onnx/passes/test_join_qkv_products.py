"""Products of one attention in one, in ONNX Runtime: what they give stays the same to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from exporter.onnx.passes.join_qkv_products import join_qkv_products
from exporter.onnx.passes.quantise_products import quantise_products

WIDTH = 32
Array = NDArray[np.float32]


def model_of(names: Sequence[str], sizes: Sequence[int], biased: Sequence[bool]) -> ir.Model:
    """Projections of the same x, each an output."""
    generator = np.random.default_rng(3)
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", "t", WIDTH]))
    nodes: list[ir.Node] = []
    constants: list[ir.Value] = []
    outputs = []

    def constant(name: str, *shape: int) -> ir.Value:
        array = generator.standard_normal(shape).astype(np.float32)
        constants.append(ir.val(name, const_value=ir.tensor(array, name=name)))
        return constants[-1]

    for number, (name, size, with_bias) in enumerate(zip(names, sizes, biased, strict=True)):
        weight = constant(f"w{number}", WIDTH, size)
        nodes.append(ir.node("MatMul", [x, weight], name=f"{name}/node_{number}"))
        if with_bias:
            nodes.append(ir.node("Add", [nodes[-1].outputs[0], constant(f"b{number}", size)]))
        output = nodes[-1].outputs[0]
        output.name, output.type, output.shape = (
            f"y{number}",
            ir.TensorType(ir.DataType.FLOAT),
            ir.Shape(["n", "t", size]),
        )
        outputs.append(output)
    graph = ir.Graph([x], outputs, nodes=nodes, initializers=constants, opset_imports={"": 20}, name="g")
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model, path: Path) -> list[Array]:
    ir.save(model, path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(5).standard_normal((2, 3, WIDTH)).astype(np.float32)
    found: list[Array] = session.run([f"y{number}" for number in range(len(session.get_outputs()))], {"x": x})
    return found


def products(model: ir.Model) -> int:
    return sum(node.op_type == "MatMulInteger" for node in model.graph)


@pytest.mark.parametrize(
    ("names", "biased", "left"),
    [
        (("l.0.attn.q", "l.0.attn.k", "l.0.attn.v"), (True, True, True), 1),
        (("l.0.attn.k", "l.0.attn.v"), (False, False), 1),
        (("l.0.attn.q", "l.0.attn.k", "l.0.attn.v"), (True, False, True), 2),
        (("l.0.attn.q", "l.1.attn.k", "l.1.attn.v"), (True, True, True), 2),
        (("l.0.attn.q", "l.0.norm"), (True, True), 2),
        (("q", "k"), (True, True), 2),  # of no module that could be named
    ],
    ids=["three", "without bias", "one without bias", "of two layers", "of two modules", "unnamed"],
)
def test_what_is_joined_and_that_nothing_changes(
    tmp_path: Path, names: Sequence[str], biased: Sequence[bool], left: int
) -> None:
    model, _ = quantise_products(model_of(names, (16, 8, 24)[: len(names)], biased))
    wanted = run(model, tmp_path / "plain.onnx")
    _, changed = join_qkv_products(model)
    assert changed == (left < len(names))
    assert products(model) == left
    for got, want in zip(run(model, tmp_path / "joined.onnx"), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    assert not join_qkv_products(model)[1]


def test_weights_are_stored_once() -> None:
    model, _ = quantise_products(model_of(("l.a.q", "l.a.k", "l.a.v"), (16, 8, 24), (True, True, True)))
    join_qkv_products(model)
    stored = {
        str(name): tuple(value.shape or ())
        for name, value in model.graph.initializers.items()
        if value.uses()
    }
    assert sorted(stored.values()) == [(3,), (WIDTH, 48), (48,), (48,)]
    assert len(model.graph.initializers) == len(stored)


def test_what_stays_in_float32_is_no_part_of_it(tmp_path: Path) -> None:
    model = model_of(("l.a.q", "l.a.k", "l.a.v"), (16, 8, 24), (True, True, True))
    quantise_products(model, keep=lambda node: str(node.name).startswith("l.a.k/"))
    wanted = run(model, tmp_path / "plain.onnx")
    join_qkv_products(model)
    assert products(model) == 1
    assert [node.op_type for node in model.graph].count("MatMul") == 1
    for got, want in zip(run(model, tmp_path / "joined.onnx"), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_product_that_others_read_before_its_bias_keeps_it(tmp_path: Path) -> None:
    model = model_of(("l.a.q", "l.a.k"), (16, 16), (True, False))
    first = next(node for node in model.graph if node.op_type == "MatMul")
    twice = ir.node("Mul", [first.outputs[0], first.outputs[0]])
    twice.outputs[0].name = "y2"
    twice.outputs[0].type, twice.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(["n", "t", 16])
    model.graph.append(twice)
    model.graph.outputs.append(twice.outputs[0])
    quantise_products(model)
    wanted = run(model, tmp_path / "plain.onnx")
    assert join_qkv_products(model)[1]
    assert products(model) == 1
    for got, want in zip(run(model, tmp_path / "joined.onnx"), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
