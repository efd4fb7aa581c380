"""Long convolutions by their Fourier transforms, against float32's Conv in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from support.graphs.built_models import Array, constant, kinds, run

from exporter.onnx.passes import fft_convolutions as module
from exporter.onnx.passes.fft_convolutions import fft_convolutions
from exporter.onnx.passes.multiply_sample_windows import multiply_sample_windows
from exporter.onnx.passes.share_weights import share_weights
from exporter.onnx.session import GraphRunner

RNG = np.random.default_rng(3)


def convolved(
    kernel: int,
    *,
    groups: int = 2,
    inputs: int = 32,
    outputs: int = 32,
    bias: bool = True,
    **attributes: object,
) -> ir.Model:
    """A convolution whose weight is computed from constants, as weight normalisation does."""
    frames = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", groups * inputs, "t"]))
    directions = RNG.standard_normal((groups * outputs, inputs, kernel)).astype(np.float32)
    lengths = RNG.uniform(0.1, 3, (1, 1, kernel)).astype(np.float32)
    constants = [constant("directions", directions), constant("lengths", lengths)]
    normalised = ir.node("Mul", constants, name="encoder.conv/weight")
    weight = normalised.outputs[0]
    weight.type, weight.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(directions.shape)
    given = [frames, weight]
    if bias:
        constants.append(constant("bias", RNG.standard_normal(groups * outputs).astype(np.float32)))
        given.append(constants[-1])
    node = ir.node("Conv", given, {"group": groups, **attributes}, name="encoder.conv/node")
    output = node.outputs[0]
    output.name, output.type, output.shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape([None] * 3)
    graph = ir.Graph(
        [frames], [output], nodes=[normalised, node], initializers=constants, opset_imports={"": 20}, name="g"
    )
    return ir.Model(graph, ir_version=10)


def both(model: ir.Model, directory: Path, frames: Array) -> tuple[Array, Array]:
    """What the convolution gives, and what its transform does."""
    wanted = run(model, directory, x=frames)
    assert fft_convolutions(model)[1]
    assert "Conv" not in kinds(model)
    return wanted, run(model, directory, x=frames)


def check(found: Array, wanted: Array) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=3e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("kernel", "pads", "frames"),
    [
        (128, (64, 64), 499),  # wav2vec 2.0, ten seconds
        (128, (64, 64), 127),
        (128, (64, 64), 128),  # as many outputs as fill a block, and one more
        (128, (64, 64), 129),
        (128, (64, 64), 1),
        (127, (63, 63), 255),
        (64, (0, 0), 200),
        (65, (3, 9), 64),
        (128, (0, 127), 300),
    ],
)
def test_it_gives_what_the_convolution_gives(
    tmp_path: Path, kernel: int, pads: tuple[int, int], frames: int
) -> None:
    given = RNG.standard_normal((1, 64, frames)).astype(np.float32)
    check(*both(convolved(kernel, pads=list(pads)), tmp_path, given))


@pytest.mark.parametrize(
    "model",
    [
        convolved(64, groups=1, inputs=40, outputs=33),
        convolved(64, groups=3, inputs=32, outputs=48, bias=False),
    ],
    ids=["no groups", "wider"],
)
def test_a_batch_of_other_widths(tmp_path: Path, model: ir.Model) -> None:
    channels = model.graph.inputs[0].shape
    assert channels is not None
    check(*both(model, tmp_path, RNG.standard_normal((3, int(channels[1]), 170)).astype(np.float32)))


def test_constant_frames_stay_exact(tmp_path: Path) -> None:
    """All that a transform of them has is one frequency, so an error of the others would stand out."""
    wanted, found = both(convolved(128, pads=[64, 64]), tmp_path, np.full((1, 64, 300), 100, np.float32))
    check(found, wanted)


@pytest.mark.parametrize("kind", ["shifted", "not conjugated"])
def test_a_wrong_transform_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    right = module._inverse

    def wrong(size: int) -> Array:
        matrix = right(size)
        half = matrix.shape[1] // 2
        return (
            np.roll(matrix, 1, axis=0)
            if kind == "shifted"
            else np.hstack([matrix[:, :half], -matrix[:, half:]])
        )

    monkeypatch.setattr(module, "_inverse", wrong)
    wanted, found = both(convolved(64), tmp_path, RNG.standard_normal((1, 64, 90)).astype(np.float32))
    assert np.abs(found - wanted).max() > 0.1 * np.abs(wanted).max()


def test_the_weight_is_transformed_once_at_load(tmp_path: Path) -> None:
    model, _ = fft_convolutions(convolved(64))
    ir.save(model, tmp_path / "g.onnx")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(str(tmp_path / "g.onnx"), options, providers=["CPUExecutionProvider"])
    products = [node for node in ir.load(tmp_path / "loaded.onnx").graph if node.op_type == "MatMul"]
    # Of a block, of its frequencies, and back.
    assert len(products) == 3


@pytest.mark.parametrize(
    "model",
    [
        convolved(63),
        convolved(64, inputs=7),
        convolved(64, outputs=7),
        convolved(64, strides=[2]),
        convolved(64, dilations=[2]),
        convolved(64, auto_pad="SAME_UPPER"),
    ],
    ids=["short", "few inputs", "few outputs", "stride", "dilation", "automatic padding"],
)
def test_other_convolutions_are_left(model: ir.Model) -> None:
    assert not fft_convolutions(model)[1]
    assert "Conv" in kinds(model)


def test_a_trained_encoder_stays_as_it_was(
    digits_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, where nothing hides a difference; its groups are narrower than those that are worth it."""
    monkeypatch.setattr(module, "_MIN_CHANNELS", 10)
    source = digits_bundle / "fp32" / "encoder.onnx"
    model = ir.load(source)
    assert multiply_sample_windows(model)[1]
    assert fft_convolutions(model)[1]
    share_weights([model], tmp_path, "encoder.onnx.data")
    ir.save(model, tmp_path / "encoder.onnx")
    lengths = np.array([16_000, 41_234])
    audio = RNG.standard_normal((2, lengths.max())).astype(np.float32) * 0.1
    audio[0, lengths[0] :] = 0
    plain, changed = (
        GraphRunner(path).run({"audio": audio, "audio_lengths": lengths})
        for path in (source, tmp_path / "encoder.onnx")
    )
    assert plain.keys() == changed.keys()
    for name, wanted in plain.items():
        np.testing.assert_allclose(changed[name], wanted, atol=2e-5 * np.abs(wanted).max(), err_msg=name)
