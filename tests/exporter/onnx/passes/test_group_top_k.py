"""The best of long rows, by groups: what TopK itself gives, order and equals included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from exporter.onnx.passes.group_top_k import group_top_k

COLUMNS = 250_054  # mBART's; 2 * 7 * 53 * 337
Float32 = NDArray[np.float32]


def model_of(columns: int | str, **attributes: int) -> ir.Model:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", "beams", columns]))
    k = ir.val("k", dtype=ir.DataType.INT64, shape=ir.Shape([1]))
    node = ir.node("TopK", [x, k], {"axis": -1, **attributes}, num_outputs=2, name="decoder/top")
    for output, name, kind in zip(
        node.outputs, ("values", "ids"), (ir.DataType.FLOAT, ir.DataType.INT64), strict=True
    ):
        output.name, output.type, output.shape = name, ir.TensorType(kind), ir.Shape(["batch", "beams", "k"])
    return ir.Model(
        ir.Graph([x, k], node.outputs, nodes=[node], opset_imports={"": 20}, name="g"), ir_version=10
    )


def session(model: ir.Model, path: Path) -> ort.InferenceSession:
    ir.save(model, path)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[ort.InferenceSession, ort.InferenceSession]:
    """Plain and grouped."""
    directory = tmp_path_factory.mktemp("top")
    model = model_of(COLUMNS)
    plain = session(model, directory / "plain.onnx")
    assert group_top_k(model)[1]
    return plain, session(model, directory / "grouped.onnx")


def rows(kind: str, generator: np.random.Generator) -> Float32:
    shape = (2, 3, COLUMNS)
    if kind == "equals":
        return generator.integers(0, 4, shape).astype(np.float32)
    if kind == "all equal":
        return np.zeros(shape, dtype=np.float32)
    if kind == "few possible":
        values = np.full(shape, -np.inf, dtype=np.float32)
        values[..., generator.integers(0, COLUMNS, 4)] = 1.0
        return values
    return generator.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("count", [1, 10, 700, 3840])
@pytest.mark.parametrize("kind", ["different", "equals", "all equal", "few possible"])
def test_values_and_ids_are_those_of_topk(
    sessions: tuple[ort.InferenceSession, ort.InferenceSession], kind: str, count: int
) -> None:
    feeds = {"x": rows(kind, np.random.default_rng(11)), "k": np.array([count])}
    plain, grouped = (one.run(["values", "ids"], feeds) for one in sessions)
    np.testing.assert_array_equal(grouped[0], plain[0])
    np.testing.assert_array_equal(grouped[1], plain[1])


def test_topk_sees_a_few_groups_alone() -> None:
    model = model_of(COLUMNS)
    group_top_k(model)
    assert {
        str(node.inputs[0].name) for node in model.graph if node.op_type == "TopK" and node.inputs[0]
    }.isdisjoint({"x"})
    assert [str(value.name) for value in model.graph.outputs] == ["values", "ids"]


@pytest.mark.parametrize(
    "model",
    [
        model_of(30_522),  # small
        model_of(250_007),  # a prime number
        model_of("columns"),
        model_of(COLUMNS, largest=0),
        model_of(COLUMNS, sorted=0),
    ],
    ids=["small", "prime", "unknown", "smallest", "unsorted"],
)
def test_others_are_left(model: ir.Model) -> None:
    assert not group_top_k(model)[1]
    assert [node.op_type for node in model.graph] == ["TopK"]
