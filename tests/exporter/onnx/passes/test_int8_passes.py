"""The passes for int8 graphs, against float32 in ONNX Runtime and against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.graphs.built_models import Array, constant, kinds, run

from exporter.onnx.editing.int8_weights import int8_rows
from exporter.onnx.passes.quantise_products import quantise_products
from exporter.onnx.passes.quantise_tables import MIN_ELEMENTS, quantise_tables
from exporter.onnx.passes.split_gemms import split_gemms

RNG = np.random.default_rng(7)
ROWS, COLUMNS = 300, 96
TABLE = (RNG.standard_normal((ROWS, COLUMNS)) * RNG.uniform(0.01, 2, (ROWS, 1))).astype(np.float32)


def model_of(inputs: list[ir.Value], nodes: list[ir.Node], constants: list[ir.Value]) -> ir.Model:
    output = nodes[-1].outputs[0]
    output.name, output.type = "y", ir.TensorType(ir.DataType.FLOAT)
    output.shape = ir.Shape([None] * 2)
    graph = ir.Graph(inputs, [output], nodes=nodes, initializers=constants, opset_imports={"": 20}, name="g")
    return ir.Model(graph, ir_version=10)


def product(*, transposed: bool = False) -> ir.Model:
    """x @ TABLE, or x @ TABLE.T."""
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", COLUMNS if transposed else ROWS]))
    table = constant("table", TABLE)
    turned = [ir.node("Transpose", [table], {"perm": [1, 0]})] if transposed else []
    right = turned[0].outputs[0] if transposed else table
    times = ir.node("MatMul", [x, right], name="decoder.head/node_matmul")
    return model_of([x], [*turned, times], [table])


def test_rows_are_rounded_by_their_largest_magnitude() -> None:
    rows = int8_rows(np.array([[1.0, -0.5, 0.0], [0, 0, 0], [-254, 2, 126.9]], dtype=np.float32))
    assert rows.numbers.tolist() == [[127, -64, 0], [0, 0, 0], [-127, 1, 63]]
    np.testing.assert_allclose(rows.scales, [1 / 127, 1, 2], rtol=1e-6)


def test_many_rows_are_rounded_as_few_are() -> None:
    tall = np.tile(TABLE, (30, 1))
    np.testing.assert_array_equal(int8_rows(tall).numbers, np.tile(int8_rows(TABLE).numbers, (30, 1)))
    assert np.abs(int8_rows(TABLE).numbers * int8_rows(TABLE).scales[:, None] - TABLE).max() < 0.05


@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_stays_near_float32(tmp_path: Path, transposed: bool) -> None:
    x = RNG.standard_normal((5, COLUMNS if transposed else ROWS)).astype(np.float32)
    wanted = x @ (TABLE.T if transposed else TABLE)
    model, changed = quantise_products(product(transposed=transposed))
    assert changed
    assert "MatMul" not in kinds(model)
    found = run(model, tmp_path, x=x)
    off = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 0 < off < 0.02
    # What each output channel has of its own is its scale: a quiet one is as exact as a loud one, relatively.
    channel = np.abs(found - wanted).max(axis=0) / np.abs(wanted).max(axis=0)
    assert channel.max() < 0.05
    assert not quantise_products(model)[1]


def test_a_matrix_is_stored_in_int8_alone(tmp_path: Path) -> None:
    model, _ = quantise_products(product())
    run(model, tmp_path, x=np.ones((1, ROWS), np.float32))
    types = {
        str(name): value.const_value.dtype for name, value in model.graph.initializers.items() if value.uses()
    }  # type: ignore[union-attr]
    assert types == {"table_int8": ir.DataType.INT8, "table_scale": ir.DataType.FLOAT}


def test_products_to_keep_are_left() -> None:
    model, changed = quantise_products(
        product(), keep=lambda node: str(node.name).startswith("decoder.head/")
    )
    assert not changed
    assert kinds(model) == ["MatMul"]


def gemm(attributes: dict[str, float | int], *, bias: bool = True) -> ir.Model:
    """x @ TABLE + 1 as one node, or x @ TABLE.T; a matrix, its activations and its bias."""
    turned = bool(attributes.get("transB"))
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", COLUMNS if turned else ROWS]))
    constants = [constant("table", TABLE)]
    if bias:
        constants.append(constant("bias", np.ones(ROWS if turned else COLUMNS, np.float32)))
    return model_of([x], [ir.node("Gemm", [x, *constants], attributes, name="layer/node_linear")], constants)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("turned", [0, 1])
def test_a_gemm_is_a_product_and_a_sum(tmp_path: Path, turned: int, bias: bool) -> None:
    x = RNG.standard_normal((5, COLUMNS if turned else ROWS)).astype(np.float32)
    wanted = run(gemm({"transB": turned}, bias=bias), tmp_path, x=x)
    model, changed = split_gemms(gemm({"transB": turned}, bias=bias))
    assert changed
    assert kinds(model) == ["Add"] * bias + ["MatMul"] + ["Transpose"] * turned
    assert [node.name for node in model.graph if node.op_type == "MatMul"] == ["layer/node_linear"]
    np.testing.assert_allclose(run(model, tmp_path, x=x), wanted, atol=1e-4)
    quantise_products(model)
    assert "MatMul" not in kinds(model)
    assert 0 < np.abs(run(model, tmp_path, x=x) - wanted).max() / np.abs(wanted).max() < 0.02
    assert not split_gemms(model)[1]


@pytest.mark.parametrize("attributes", [{"alpha": 0.5}, {"beta": 2.0}, {"transA": 1}], ids=str)
def test_a_gemm_that_is_no_linear_layer_is_left(attributes: dict[str, float | int]) -> None:
    model, changed = split_gemms(gemm(attributes))
    assert not changed
    assert kinds(model) == ["Gemm"]


def test_products_of_two_computed_values_are_left() -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", "n"]))
    assert not quantise_products(model_of([x], [ir.node("MatMul", [x, x])], []))[1]


def test_products_of_the_same_activations_round_them_once(tmp_path: Path) -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", ROWS]))
    tables = [constant("a", TABLE), constant("b", 2 * TABLE)]
    times = [ir.node("MatMul", [x, table], name=f"m{number}") for number, table in enumerate(tables)]
    total = ir.node("Add", [node.outputs[0] for node in times])
    model, _ = quantise_products(model_of([x], [*times, total], tables))
    assert [node.op_type for node in model.graph].count("DynamicQuantizeLinear") == 1
    given = RNG.standard_normal((2, ROWS)).astype(np.float32)
    np.testing.assert_allclose(run(model, tmp_path, x=given), 3 * given @ TABLE, atol=4)


def looked_up(table: Array, **attributes: int) -> ir.Model:
    ids = ir.val("ids", dtype=ir.DataType.INT64, shape=ir.Shape(["n"]))
    node = ir.node(
        "Gather", [ids_table := constant("table", table), ids], attributes, name="decoder.embed/node"
    )
    return model_of([ids], [node], [ids_table])


def test_a_table_is_looked_up_in_int8(tmp_path: Path) -> None:
    model, changed = quantise_tables(looked_up(TABLE))
    assert changed
    ids = np.array([0, 7, 299, 7])
    found = run(model, tmp_path, ids=ids)
    rows = int8_rows(TABLE)
    np.testing.assert_array_equal(found, (rows.numbers * rows.scales[:, None])[ids])
    assert "DequantizeLinear" not in kinds(model)
    assert not quantise_tables(model)[1]


@pytest.mark.parametrize(
    "model",
    [
        looked_up(TABLE[: MIN_ELEMENTS // COLUMNS - 1]),
        looked_up(TABLE, axis=1),
    ],
    ids=["small", "columns"],
)
def test_other_tables_are_left(model: ir.Model) -> None:
    assert not quantise_tables(model)[1]


def test_a_tied_embedding_stays_one_tensor(tmp_path: Path) -> None:
    ids = ir.val("ids", dtype=ir.DataType.INT64, shape=ir.Shape(["n"]))
    table = constant("table", TABLE)
    rows = ir.node("Gather", [table, ids], name="decoder.embed/node")
    turned = ir.node("Transpose", [table], {"perm": [1, 0]}, name="decoder.head/turn")
    times = ir.node("MatMul", [rows.outputs[0], turned.outputs[0]], name="decoder.head/node")
    model = model_of([ids], [rows, turned, times], [table])
    quantise_products(model)
    quantise_tables(model)
    found = run(model, tmp_path, ids=np.array([3, 5]))
    wanted = TABLE[[3, 5]] @ TABLE.T
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()
    used = [str(name) for name, value in model.graph.initializers.items() if value.uses()]
    assert sorted(used) == ["int64_-1", "table_int8", "table_scale"]
