"""Fused self-attention against the exported one, in ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from exporter.onnx.editing.key_masks import key_mask
from exporter.onnx.passes import fuse_attention as module
from exporter.onnx.passes.fuse_attention import attention, fuse_attention

LAYERS = 4
LENGTHS = (16_000, 5_000, 399 + 320)
RNG = np.random.default_rng(2)
AUDIO = (0.1 * RNG.standard_normal((3, max(LENGTHS)))).astype(np.float32)
for row, length in enumerate(LENGTHS):
    AUDIO[row, length:] = 0
FEEDS = {"audio": AUDIO, "audio_lengths": np.array(LENGTHS, dtype=np.int64)}
Outputs = dict[str, NDArray[np.float32]]


@pytest.fixture
def encoder(digits_bundle: Path) -> ir.Model:
    return ir.load(digits_bundle / "fp32" / "encoder.onnx")


def run(model: ir.Model, directory: Path, rows: slice = slice(None)) -> Outputs:
    directory.mkdir(exist_ok=True)
    ir.save(model, directory / "encoder.onnx", external_data="encoder.data")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        str(directory / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    lengths = FEEDS["audio_lengths"][rows]
    feeds = {"audio": AUDIO[rows, : lengths.max()], "audio_lengths": lengths}
    return dict(zip(names, session.run(None, feeds), strict=True))


def kinds(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def attended(outputs: Outputs) -> list[tuple[str, NDArray[np.float32]]]:
    """What decoders read: keys and values of the frames that there are."""
    return [
        (name, array if array.ndim != 4 else np.where(outputs["encoder_mask"][:, None, :, None], array, 0))
        for name, array in outputs.items()
        if name not in ("encoder_mask", "encoder_states")
    ]


def far(found: Outputs, wanted: Outputs) -> float:
    pairs = zip(attended(found), attended(wanted), strict=True)
    return max(float(np.abs(got - want).max()) for (_, got), (_, want) in pairs)


@pytest.mark.parametrize("rows", [slice(0, 3), slice(0, 1), slice(2, 3)], ids=["batch", "long", "short"])
def test_fused_attention_gives_what_was_exported(
    encoder: ir.Model, tmp_path: Path, digits_bundle: Path, rows: slice
) -> None:
    plain = run(ir.load(digits_bundle / "fp32" / "encoder.onnx"), tmp_path / "plain", rows)
    assert kinds(encoder)["Softmax"] == LAYERS
    changed = fuse_attention(encoder)[1]
    assert changed
    assert (kinds(encoder)["Softmax"], kinds(encoder)["MultiHeadAttention"]) == (0, LAYERS)
    assert encoder.opset_imports["com.microsoft"] == 1
    assert far(run(encoder, tmp_path / "fused", rows), plain) < 2e-5
    assert not fuse_attention(encoder)[1]


def test_a_mask_that_is_lost_is_seen(
    encoder: ir.Model, tmp_path: Path, digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(ir.load(digits_bundle / "fp32" / "encoder.onnx"), tmp_path / "plain")
    monkeypatch.setattr(module, "_LOW", 0.0)
    fuse_attention(encoder)
    assert far(run(encoder, tmp_path / "fused"), plain) > 1e-2


def test_the_mask_is_made_once_and_nothing_unread_is_left(encoder: ir.Model) -> None:
    expands = kinds(encoder)["Expand"]
    fuse_attention(encoder)
    # One for the queries, one for the keys; the mask of frames by frames goes.
    assert kinds(encoder)["Expand"] == expands + 2 - 1
    outputs = {id(value) for value in encoder.graph.outputs}
    unread = [
        node.name
        for node in encoder.graph
        if not any(value.uses() or id(value) in outputs for value in node.outputs)
    ]
    assert unread == []


def softmaxes(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph if node.op_type == "Softmax"]


def added(softmax: ir.Node) -> ir.Node:
    node = softmax.inputs[0].producer() if softmax.inputs[0] is not None else None
    assert node is not None
    assert node.op_type == "Add"
    return node


def where(softmax: ir.Node) -> ir.Node:
    mask = added(softmax).inputs[1]
    node = None if mask is None else mask.producer()
    assert node is not None
    assert node.op_type == "Where"
    return node


def test_scores_that_get_more_than_a_mask_of_keys_are_left(encoder: ir.Model) -> None:
    first = softmaxes(encoder)[0]
    bias = ir.val("bias", const_value=ir.tensor(np.zeros((1, 1, 1, 1), np.float32), name="bias"))
    encoder.graph.register_initializer(bias)
    added(first).replace_input_with(1, bias)
    assert attention(first) is None
    fuse_attention(encoder)
    assert kinds(encoder)["Softmax"] == 1


def test_a_mask_that_hangs_on_the_query_is_none_of_keys(encoder: ir.Model) -> None:
    """Causal, say: the part that looks at queries' positions must be true for all of them."""
    first = softmaxes(encoder)[0]
    mask = where(first).outputs[0]
    assert key_mask(mask) is not None
    ahead = next(node for node in encoder.graph if node.op_type == "GreaterOrEqual")
    five = ir.val("five", const_value=ir.tensor(np.int64(5), name="five"))
    encoder.graph.register_initializer(five)
    ahead.replace_input_with(1, five)
    assert key_mask(mask) is None
    assert not fuse_attention(encoder)[1]


@pytest.mark.parametrize(("place", "number"), [(1, -1.0), (2, -3.0)], ids=["attended to", "left out"])
def test_a_mask_that_only_weakens_is_none(encoder: ir.Model, place: int, number: float) -> None:
    other = ir.val("other", const_value=ir.tensor(np.float32(number), name="other"))
    encoder.graph.register_initializer(other)
    node = where(softmaxes(encoder)[0])
    node.replace_input_with(place, other)
    assert key_mask(node.outputs[0]) is None


def test_weights_that_something_else_reads_are_left(encoder: ir.Model) -> None:
    first = softmaxes(encoder)[0]
    copy = ir.node("Identity", [first.outputs[0]])
    encoder.graph.append(copy)
    assert attention(first) is None
    fuse_attention(encoder)
    assert kinds(encoder)["Softmax"] == 1
