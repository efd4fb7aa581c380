"""A restricted vocabulary in int8: the tokens of the set alone, near the float32 bundle that writes the same set."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx_ir as ir
import pytest
import torch
from support.places import ROOT
from support.restricted.bundles import TIED, Restricted, open_restricted, restricted
from support.tiny import models as tiny_models
from support.tiny.models import Once

import s2t_runtime
from exporter.errors import PrecisionError
from exporter.onnx.write_graphs import DECODER_WEIGHTS, ENCODER_WEIGHTS
from exporter.options import AddOptions
from exporter.pipeline import precision_graphs
from exporter.pipeline.add_precision import add_precision
from exporter.pipeline.precision_graphs import PrecisionGraphs
from exporter.precisions import int8_graphs
from graphs import with_past_signature
from s2t_runtime.errors import OptionError
from s2t_runtime.model import SpeechToText

RECORDING = ROOT / "examples" / "digits" / "recordings" / "one_digit_7.wav"
SEARCHES: list[dict[str, Any]] = [{"num_beams": 1}, {"num_beams": 3, "num_return_sequences": 3}]
GRAPHS = {ENCODER_WEIGHTS: ("encoder.onnx",), DECODER_WEIGHTS: ("decoder_with_past.onnx",)}


@pytest.fixture(autouse=True, scope="module")
def _with_past_alone() -> Iterator[None]:
    """The bundle has no other decoder graph: see ``write_with_past_alone``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision_graphs, "first_step_signature", with_past_signature)
        patch.setattr(int8_graphs, "_FILES", GRAPHS)
        yield


def addition(once: Once, bundle: Path) -> AddOptions:
    checkpoint = tiny_models.checkpoint_directory(once, TIED)
    # The parity check wants decoder_first_step as well: the broad tests make whole exports.
    return AddOptions(bundle, "int8", (str(checkpoint),), (RECORDING,), check=False)


@pytest.fixture
def small(once: Once) -> Restricted:
    """In fp32 and int8."""

    def make(path: Path) -> None:
        shutil.copytree(restricted(once, "decoder_with_past").bundle.root, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a library's would stand between the command's own lines
            add_precision(addition(once, path))

    return open_restricted(once("restricted-int8", make), tiny_models.load(once, TIED))


def test_int8_decodes_as_the_float32_bundle_does(small: Restricted) -> None:
    manifest = small.bundle.manifest
    policy = manifest.graphs["int8"].policy
    assert policy is not None
    (logits,) = (one for one in manifest.graphs["int8"].decoder_with_past.outputs if one.name == "logits")
    assert logits.shape == ("batch", "beams", len(small.ids))
    root = small.bundle.root
    with (
        s2t_runtime.load(root, precision="fp32", threads=1) as full,
        s2t_runtime.load(root, precision="int8", threads=1) as rounded,
    ):
        assert rounded.output_token_ids is not None
        assert rounded.output_token_ids.tolist() == small.ids
        for search in SEARCHES:
            wanted, got = (decoded(model, search) for model in (full, rounded))
            assert got[0].tokens == wanted[0].tokens
            assert {token for one in got for token in one.tokens} <= set(small.ids)
            differences = np.abs(np.subtract(got[0].log_probs, wanted[0].log_probs))
            assert 0 < differences.max() <= policy.budget.log_prob_difference == 0.1
        with pytest.raises(OptionError, match="suppress_tokens has token 9, which this bundle cannot write"):
            rounded.generate(RECORDING, suppress_tokens=[9])


def decoded(model: SpeechToText, search: dict[str, Any]) -> tuple[s2t_runtime.Hypothesis, ...]:
    return model.generate(RECORDING, max_new_tokens=12, **search).hypotheses


def test_the_rounded_projection_has_the_rows_of_the_set_alone(small: Restricted, tmp_path: Path) -> None:
    # With every block in int8: the little model's budget leaves its projection in float32.
    int8_graphs.write_int8_graphs(small.bundle.root / "fp32", tmp_path)
    model = ir.load(tmp_path / "decoder_with_past.onnx")
    products = [node for node in model.graph if node.op_type == "MatMulInteger"]
    weights = products[-1].inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    assert (weights.const_value.dtype, weights.const_value.shape) == (ir.DataType.INT8, [16, len(small.ids)])
    ids = [
        value.const_value.numpy().ravel().tolist()
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.dtype == ir.DataType.INT64
    ]
    assert small.ids in ids
    wide = [value for value in model.graph.initializers.values() if value.shape and 60 in value.shape.numpy()]
    assert [value.name for value in wide] == ["decoder.model.decoder.embed_tokens.weight"]  # the input table


def test_graphs_that_are_written_for_it_are_cut_to_the_same_tokens(
    once: Once, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[PrecisionGraphs] = []

    def write(graphs: PrecisionGraphs, _: object) -> NoReturn:
        seen.append(graphs)
        raise PrecisionError("seen")

    made = restricted(once, "decoder_with_past")
    bundle = Path(shutil.copytree(made.bundle.root, tmp_path / "bundle"))
    monkeypatch.setattr(PrecisionGraphs, "write", write)
    with pytest.raises(PrecisionError, match="seen"):
        add_precision(addition(once, bundle))
    (graphs,) = seen
    assert graphs.geometry.output_size == len(made.ids)
    assert graphs.output_ids is not None
    assert (graphs.output_ids.dtype, graphs.output_ids.tolist()) == (torch.int64, made.ids)
