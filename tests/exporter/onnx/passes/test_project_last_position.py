"""The output projection of one position, and log-softmax in one operator, against the graphs as they were."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from exporter.onnx.passes.fuse_log_softmax import fuse_log_softmax
from exporter.onnx.passes.project_last_position import project_last_position

WIDTH, COLUMNS = 8, 30
RNG = np.random.default_rng(5)
Arrays = dict[str, NDArray[np.float32]]


def constant(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> ir.Value:
    return ir.val(name, const_value=ir.tensor(np.array(array), name=name))


def decoder(
    index: int = -1, *, bias: bool = True, axis: int = 1, tanh: bool = False, one_beam: bool = False
) -> ir.Model:
    """Rows [batch * beams, new, width] -> logits [batch, beams, columns] and candidates, as graphs have it."""
    rows = ir.val("rows", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", "new", WIDTH]))
    ids = ir.val("ids", dtype=ir.DataType.INT64, shape=ir.Shape(["batch", "beams"]))
    constants = [
        constant("head", RNG.standard_normal((WIDTH, COLUMNS)).astype(np.float32)),
        constant("bias", RNG.standard_normal((1, COLUMNS)).astype(np.float32)),
        constant("index", np.array(index)),
        constant("columns", np.array([COLUMNS])),
        constant("axes", np.array([-1])),
        constant("three", np.array([3])),
    ]
    head, added, where, columns, axes, three = constants
    nodes = [ir.node("MatMul", [rows, head], name="decoder.head/product")]
    if bias:
        nodes.append(ir.node("Add", [nodes[-1].outputs[0], added]))
    if tanh:
        nodes.append(ir.node("Tanh", [nodes[-1].outputs[0]]))
    nodes.append(ir.node("Cast", [nodes[-1].outputs[0]], {"to": int(ir.DataType.FLOAT)}))
    gather = ir.node("Gather", [nodes[-1].outputs[0], where], {"axis": axis})
    sizes = [ir.node("Shape", [ids], {"start": at, "end": at + 1}) for at in range(2)]
    shape = ir.node("Concat", [*(size.outputs[0] for size in sizes), columns], {"axis": 0})
    sizes += [shape]
    fixed = constant("fixed", np.array([-1, 1, COLUMNS]))
    logits = ir.node("Reshape", [gather.outputs[0], fixed if one_beam else shape.outputs[0]])
    constants.append(fixed)
    x = logits.outputs[0]
    x.name = "logits"
    peak = ir.node("ReduceMax", [x, axes], {"keepdims": 1})
    shifted = ir.node("Sub", [x, peak.outputs[0]])
    exponent = ir.node("Exp", [shifted.outputs[0]])
    total = ir.node("ReduceSum", [exponent.outputs[0], axes], {"keepdims": 1})
    log = ir.node("Log", [total.outputs[0]])
    top = ir.node("TopK", [shifted.outputs[0], three], num_outputs=2)
    best = ir.node("Sub", [top.outputs[0], log.outputs[0]])
    nodes += [gather, *sizes, logits, peak, shifted, exponent, total, log, top, best]
    best.outputs[0].name, top.outputs[1].name = "candidate_log_probs", "candidate_ids"
    outputs = [x, best.outputs[0], top.outputs[1]]
    for value, dtype in zip(outputs, ("FLOAT", "FLOAT", "INT64"), strict=True):
        value.type, value.shape = ir.TensorType(ir.DataType[dtype]), ir.Shape([None, None, None])
    graph = ir.Graph(
        [rows, ids], outputs, nodes=nodes, initializers=constants, opset_imports={"": 20}, name="g"
    )
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model, directory: Path, *, batch: int = 2, beams: int = 3, new: int = 4) -> Arrays:
    ir.save(model, directory / "g.onnx")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(directory / "g.onnx"), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(1)
    feeds = {
        "rows": generator.standard_normal((batch * beams, new, WIDTH)).astype(np.float32),
        "ids": np.zeros((batch, beams), dtype=np.int64),
    }
    names = [output.name for output in session.get_outputs()]
    used = {one.name for one in session.get_inputs()}
    values = session.run(None, {name: array for name, array in feeds.items() if name in used})
    return dict(zip(names, values, strict=True))


def kinds(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


@pytest.mark.parametrize("index", [-1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_the_projection_of_one_position_gives_the_same_logits(tmp_path: Path, index: int, bias: bool) -> None:
    model = decoder(index, bias=bias)
    wanted = run(model, tmp_path)
    changed = project_last_position(model)[1]
    assert changed
    found = run(model, tmp_path)
    assert found["logits"].shape == (2, 3, COLUMNS)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)
    order = [node.op_type for node in model.graph]
    # The position is taken from the rows, and nothing copies the logits.
    assert order.index("Gather") < order.index("Reshape") < order.index("MatMul")
    assert (order.count("Gather"), order.count("Reshape")) == (1, 1)
    assert not project_last_position(model)[1]


def test_a_first_step_has_one_beam(tmp_path: Path) -> None:
    model = decoder(one_beam=True)
    wanted = run(model, tmp_path, beams=1)
    assert project_last_position(model)[1]
    found = run(model, tmp_path, beams=1)
    assert found["logits"].shape == (2, 1, COLUMNS)
    np.testing.assert_allclose(found["logits"], wanted["logits"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [decoder(tanh=True), decoder(axis=0, index=0)],
    ids=["more than bias and cast", "another axis"],
)
def test_logits_that_come_about_in_another_way_stay(model: ir.Model) -> None:
    before = kinds(model)
    assert not project_last_position(model)[1]
    assert kinds(model) == before


def test_logits_that_something_else_reads_stay() -> None:
    model = decoder()
    product = next(node for node in model.graph if node.op_type == "MatMul")
    model.graph.append(ir.node("Identity", [product.outputs[0]]))
    assert not project_last_position(model)[1]


def test_one_log_softmax_gives_the_same_candidates(tmp_path: Path) -> None:
    model = decoder()
    wanted = run(model, tmp_path)
    changed = fuse_log_softmax(model)[1]
    assert changed
    found = run(model, tmp_path)
    np.testing.assert_array_equal(found["candidate_ids"], wanted["candidate_ids"])
    np.testing.assert_allclose(found["candidate_log_probs"], wanted["candidate_log_probs"], atol=1e-6)
    left = kinds(model)
    assert left["LogSoftmax"] == 1
    assert not left.keys() & {"Exp", "Log", "ReduceSum", "ReduceMax", "Sub"}
    assert not fuse_log_softmax(model)[1]


def test_a_sum_of_something_else_is_no_log_softmax() -> None:
    model = decoder()
    exponent = next(node for node in model.graph if node.op_type == "Exp")
    logits = next(node for node in model.graph if node.op_type == "Reshape").outputs[0]
    exponent.replace_input_with(0, logits)
    assert not fuse_log_softmax(model)[1]


@pytest.mark.parametrize("name", ["decoder_first_step", "decoder_with_past"])
def test_exported_decoders_write_their_logits_at_once(digits_bundle: Path, name: str) -> None:
    graph = ir.load(digits_bundle / "fp32" / f"{name}.onnx").graph
    logits = next(value for value in graph.outputs if value.name == "logits")
    assert logits.producer() is not None
    assert logits.producer().op_type in ("MatMul", "Add")  # type: ignore[union-attr]
    # The type in which a product is computed is read off its input.
    products = [node for node in graph.all_nodes() if node.op_type == "MatMul"]
    assert {node.inputs[0].dtype for node in products if node.inputs[0] is not None} == {ir.DataType.FLOAT}


def test_int8_decoders_rank_a_log_softmax(digits_int8_bundle: Path) -> None:
    for name in ("decoder_first_step", "decoder_with_past"):
        assert kinds(ir.load(digits_int8_bundle / "int8" / f"{name}.onnx"))["LogSoftmax"] == 1
