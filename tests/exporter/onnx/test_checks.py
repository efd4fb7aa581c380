"""What an exported file is checked for, and that the real graphs pass it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from support.tiny import models as tiny_models
from support.tiny.models import MARKED_PAIRS, Once

from exporter.errors import GraphError
from exporter.onnx.checks import check_graph
from graphs import GraphSignature, TensorSpec
from graphs.signature import GRAPH_NAMES

SIGNATURE = GraphSignature(
    "tiny",
    (TensorSpec("audio", "float32", ("batch", "samples")), TensorSpec("audio_lengths", "int64", ("batch",))),
    (TensorSpec("encoder_states", "float32", ("batch", "samples")),),
)
FLOAT, INT64, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE
Node = onnx.NodeProto
NODES = (
    helper.make_node("Identity", ["audio"], ["same"], name="same"),
    helper.make_node("Relu", ["same"], ["encoder_states"], name="relu"),
)


def save(
    path: Path,
    nodes: Sequence[Node] = NODES,
    *,
    inputs: Sequence[tuple[str, int, Any]] = (
        ("audio", FLOAT, ["batch", "samples"]),
        ("audio_lengths", INT64, ["batch"]),
    ),
    outputs: Sequence[tuple[str, int, Any]] = (("encoder_states", FLOAT, ["batch", "samples"]),),
    opset: int = 20,
    domains: Sequence[str] = (),
    weights: Sequence[onnx.TensorProto] = (),
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(*spec) for spec in inputs],
        [helper.make_tensor_value_info(*spec) for spec in outputs],
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path = path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def problem(path: Path) -> str:
    with pytest.raises(GraphError) as caught:
        check_graph(path, SIGNATURE)
    return str(caught.value)


def test_a_graph_that_keeps_its_contract_passes(tmp_path: Path) -> None:
    check_graph(save(tmp_path), SIGNATURE)


AUDIO, LENGTHS = ("audio", FLOAT, ["batch", "samples"]), ("audio_lengths", INT64, ["batch"])
STATES = ("encoder_states", FLOAT, ["batch", "samples"])


def test_a_wrong_input_name_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, inputs=(AUDIO, ("lengths", INT64, ["batch"])))
    assert "inputs are audio, lengths; wanted audio, audio_lengths" in problem(path)


def test_a_wrong_output_name_is_named(tmp_path: Path) -> None:
    nodes = (helper.make_node("Relu", ["audio"], ["states"]),)
    path = save(tmp_path, nodes, outputs=(("states", FLOAT, ["batch", "samples"]),))
    assert "outputs are states; wanted encoder_states" in problem(path)


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    assert "inputs are audio; wanted audio, audio_lengths" in problem(save(tmp_path, inputs=(AUDIO,)))


def test_a_wrong_dtype_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, inputs=(AUDIO, ("audio_lengths", TensorProto.INT32, ["batch"])))
    assert re.search(r"input audio_lengths is .*INT32; wanted int64", problem(path))


def test_a_wrong_output_dtype_is_named(tmp_path: Path) -> None:
    nodes = (helper.make_node("Cast", ["audio"], ["encoder_states"], to=DOUBLE),)
    path = save(tmp_path, nodes, outputs=(("encoder_states", DOUBLE, ["batch", "samples"]),))
    assert re.search(r"output encoder_states is .*DOUBLE; wanted float32", problem(path))


@pytest.mark.parametrize("axes", [["batch", "s0"], ["batch", 160], [None, "samples"]])
def test_wrong_axes_are_named(tmp_path: Path, axes: list[Any]) -> None:
    path = save(tmp_path, inputs=(("audio", FLOAT, axes), LENGTHS))
    assert re.search(r"input audio has axes .*; wanted \('batch', 'samples'\)", problem(path))


def test_another_opset_is_named(tmp_path: Path) -> None:
    assert "opset is 18; wanted 20" in problem(save(tmp_path, opset=18))


def test_nonzero_is_named(tmp_path: Path) -> None:
    nodes = (*NODES, helper.make_node("NonZero", ["audio"], ["places"]))
    assert "operators that TensorRT cannot take: NonZero" in problem(save(tmp_path, nodes))


def body(name: str, inputs: Sequence[Any], outputs: Sequence[Any], nodes: Sequence[Node]) -> onnx.GraphProto:
    value = helper.make_tensor_value_info
    return helper.make_graph(
        list(nodes), name, [value(*spec) for spec in inputs], [value(*spec) for spec in outputs]
    )


def branch(operator: str) -> onnx.GraphProto:
    node = helper.make_node(operator, ["audio"], [f"{operator}_out"])
    return body(operator, (), ((f"{operator}_out", FLOAT, ["batch", "samples"]),), (node,))


def test_if_is_named(tmp_path: Path) -> None:
    condition = numpy_helper.from_array(np.array(True), "condition")
    node = helper.make_node(
        "If", ["condition"], ["chosen"], then_branch=branch("Relu"), else_branch=branch("Tanh")
    )
    path = save(tmp_path, (*NODES, node), weights=(condition,))
    assert "operators that TensorRT cannot take: If" in problem(path)


def test_an_operator_inside_a_branch_is_named(tmp_path: Path) -> None:
    condition = numpy_helper.from_array(np.array(True), "condition")
    hidden = body(
        "hidden", (), (("places", INT64, [2, None]),), (helper.make_node("NonZero", ["audio"], ["places"]),)
    )
    node = helper.make_node("If", ["condition"], ["chosen"], then_branch=hidden, else_branch=hidden)
    assert "cannot take: If, NonZero" in problem(save(tmp_path, (*NODES, node), weights=(condition,)))


def test_loop_is_named(tmp_path: Path) -> None:
    turns = numpy_helper.from_array(np.array(3), "turns")
    inside = body(
        "inside",
        (("turn", INT64, []), ("go", TensorProto.BOOL, [])),
        (("go_on", TensorProto.BOOL, []), ("row", FLOAT, ["batch", "samples"])),
        (helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Relu", ["audio"], ["row"])),
    )
    node = helper.make_node("Loop", ["turns", ""], ["rows"], body=inside)
    assert "cannot take: Loop" in problem(save(tmp_path, (*NODES, node), weights=(turns,)))


def test_chains_of_identity_are_named(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Identity", ["audio"], ["first"], name="copy_of_audio"),
        helper.make_node("Identity", ["first"], ["encoder_states"], name="copy_of_copy"),
    )
    assert "chains of Identity nodes: copy_of_audio" in problem(save(tmp_path, nodes))


def test_a_foreign_domain_is_named(tmp_path: Path) -> None:
    nodes = (helper.make_node("FusedGelu", ["audio"], ["encoder_states"], domain="com.microsoft"),)
    path = save(tmp_path, nodes, domains=("com.microsoft",))
    assert "operators outside the ONNX standard: com.microsoft::FusedGelu" in problem(path)
    check_graph(path, SIGNATURE, beyond_onnx=["com.microsoft::FusedGelu"])


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    nodes = (
        *NODES,
        helper.make_node("NonZero", ["audio"], ["places"]),
        helper.make_node("Gadget", ["audio"], ["x"], domain="com.acme"),
    )
    path = save(tmp_path, nodes, inputs=(AUDIO,), opset=19, domains=("com.acme",))
    message = problem(path)
    assert message.startswith("tiny.onnx breaks the tiny contract: ")
    for part in ("inputs are audio;", "opset is 19", "NonZero", "com.acme::Gadget"):
        assert part in message


def test_invalid_onnx_is_refused(tmp_path: Path) -> None:
    nodes = (helper.make_node("Relu", ["nowhere"], ["encoder_states"]),)
    assert problem(save(tmp_path, nodes)).startswith("tiny.onnx is not valid ONNX: ")


def real_graphs(once: Once, pair: tiny_models.Pair) -> list[onnx.ModelProto]:
    directory = tiny_models.bundle(once, pair) / "fp32"
    return [onnx.load(directory / f"{name}.onnx", load_external_data=False) for name in GRAPH_NAMES]


def all_nodes(graph: onnx.GraphProto) -> Iterator[Node]:
    """Nodes of a graph and of the graphs inside them, found without the checks' own library."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


@pytest.mark.parametrize("pair", MARKED_PAIRS, ids=lambda pair: pair.name)
def test_real_graphs_hold_nothing_that_tensorrt_refuses(once: Once, pair: tiny_models.Pair) -> None:
    for model in real_graphs(once, pair):
        nodes = list(all_nodes(model.graph))
        operators = {node.op_type for node in nodes}
        assert not operators & {"NonZero", "Loop", "If", "Scan", "Compress", "Unique"}
        # Masks come from comparing a range with lengths: no sum over samples, no writing by boolean index.
        assert not operators & {"CumSum", "ScatterND", "ScatterElements"}
        assert not any(operator.startswith("Random") for operator in operators)
        assert {node.domain for node in nodes} <= {"", "ai.onnx"}
        assert not model.functions
        copies = {node.output[0] for node in nodes if node.op_type == "Identity"}
        assert not [node.name for node in nodes if node.op_type == "Identity" and node.input[0] in copies]


@pytest.mark.parametrize("pair", MARKED_PAIRS, ids=lambda pair: pair.name)
def test_real_graphs_tell_nothing_of_the_exporting_machine(once: Once, pair: tiny_models.Pair) -> None:
    for model in real_graphs(once, pair):
        noted = [
            model,
            model.graph,
            *model.graph.node,
            *model.graph.input,
            *model.graph.output,
            *model.graph.value_info,
        ]
        assert not any(item.metadata_props or item.doc_string for item in noted)
        raw = model.SerializeToString()
        for trace in (b"site-packages", b".py", str(Path.cwd()).encode(), str(Path.home()).encode() + b"/"):
            assert trace not in raw


@pytest.mark.parametrize("pair", MARKED_PAIRS, ids=lambda pair: pair.name)
def test_real_graphs_name_every_dynamic_axis(once: Once, pair: tiny_models.Pair) -> None:
    for model in real_graphs(once, pair):
        for value in (*model.graph.input, *model.graph.output):
            axes = value.type.tensor_type.shape.dim
            assert all(axis.dim_param or axis.dim_value for axis in axes), value.name
