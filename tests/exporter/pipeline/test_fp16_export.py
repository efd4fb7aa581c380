"""fp16 graphs of several families: their files against eager, with and without blocks in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from support.tiny import models as tiny_models
from support.tiny.models import PAIRS, Pair
from support.tiny.unsaved import unsaved

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import GraphError
from exporter.onnx.checks import check_graph
from exporter.onnx.write_graphs import write_decoders, write_encoder
from exporter.parity.graphs import compare_graphs
from exporter.precisions.fp16_check import Fp16Check
from exporter.reference.eager import EagerReference
from exporter.reference.hard_audio import hard_audio
from graphs import GraphSignature, TensorSpec, decoder_geometry
from graphs.precision.blocks import PrecisionAssignment


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def checkpoint_of(pair: Pair) -> Checkpoint:
    model = tiny_models.tiny_model(pair.encoder, pair.decoder, pair.hidden)
    extractor = tiny_models.tiny_extractor(
        model.config.encoder.model_type,
        return_attention_mask=pair.return_attention_mask,
        do_normalize=pair.do_normalize,
        padding_value=pair.padding_value,
    )
    return unsaved(model, extractor)


def plan_of(checkpoint: Checkpoint) -> PrecisionAssignment:
    cases = hard_audio(16_000, min_samples=400, max_samples=4_000, parameters=1)[:1]
    return Fp16Check(checkpoint, cases, prompt=[2]).assignment


def faults_of(checkpoint: Checkpoint, assignment: PrecisionAssignment, directory: Path) -> list[str]:
    decoder = checkpoint.model.decoder
    geometry = decoder_geometry(decoder)
    write_encoder(
        checkpoint, geometry, min_samples=400, max_samples=60_000, directory=directory, assignment=assignment
    )
    write_decoders(decoder, geometry, directory, lambda _: None, assignment)
    rows = compare_graphs(EagerReference(checkpoint), directory, geometry, min_samples=400, precision="fp16")
    assert len(rows) == 9
    return [f"{row.output} {row.maximum} > {row.limit}" for row in rows if not row.passed]


# WavLM is a case of its own: its softmax is inside torch's own attention, and its weights are read, not called.
@pytest.mark.broad
@pytest.mark.parametrize("pair", PAIRS[2:], ids=lambda pair: pair.name)
def test_fp16_graphs_are_near_eager(tmp_path: Path, pair: Pair) -> None:
    checkpoint = checkpoint_of(pair)
    assert faults_of(checkpoint, plan_of(checkpoint), tmp_path) == []


@pytest.mark.broad
@pytest.mark.parametrize("decoder", ["mbart", "trocr"])
def test_blocks_in_float32_work_on_float16_states_and_caches(tmp_path: Path, decoder: str) -> None:
    checkpoint = checkpoint_of(Pair("wav2vec2-layer", decoder))
    assignment = plan_of(checkpoint)
    assert faults_of(checkpoint, assignment.widened(assignment.blocks), tmp_path) == []
    model = ir.load(tmp_path / "decoder_with_past.onnx")
    caches = [value for value in model.graph.inputs if str(value.name).startswith(("past_", "cross_"))]
    assert {value.dtype for value in caches} == {ir.DataType.FLOAT16}
    products = [node for node in model.graph.all_nodes() if node.op_type == "MatMul"]
    assert {node.inputs[0].dtype for node in products if node.inputs[0] is not None} == {ir.DataType.FLOAT}


def test_a_float16_softmax_or_an_infinite_constant_breaks_the_contract(tmp_path: Path) -> None:
    given = ir.val("x", dtype=ir.DataType.FLOAT16, shape=ir.Shape(["batch", 4]))
    infinite = ir.tensor([float("-inf")] * 4, dtype=ir.DataType.FLOAT16, name="mask")
    mask = ir.val("mask", const_value=infinite)
    masked = ir.node("Add", [given, mask], name="planted/add")
    masked.outputs[0].type, masked.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT16), given.shape
    softmax = ir.node("Softmax", [masked.outputs[0]], name="planted/softmax")
    softmax.outputs[0].name = "y"
    softmax.outputs[0].type, softmax.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT16), given.shape
    graph = ir.Graph(
        [given],
        softmax.outputs,
        nodes=[masked, softmax],
        initializers=[mask],
        opset_imports={"": 20},
        name="g",
    )
    ir.save(ir.Model(graph, ir_version=10), tmp_path / "g.onnx")
    signature = GraphSignature(
        "g", (TensorSpec("x", "float16", ("batch", 4)),), (TensorSpec("y", "float16", ("batch", 4)),)
    )
    with pytest.raises(GraphError) as caught:
        check_graph(tmp_path / "g.onnx", signature)
    assert "float16 where float32 is needed: planted/softmax" in str(caught.value)
    assert "float16 constants that are not finite: mask" in str(caught.value)
