"""int8 graphs against the float32 ones that they were made from, and the search for what int8 cannot hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support.digits.audio import FIRST_LANGUAGE

from exporter.errors import PrecisionError
from exporter.onnx.editing.int8_weights import Roundings
from exporter.precisions import int8_check
from exporter.precisions.int8_check import Int8Check
from exporter.precisions.int8_graphs import (
    float32_convolutions,
    product_sizes,
    write_int8_graphs,
    write_trial_graphs,
)
from exporter.precisions.policy import allowed, search_policy, within
from exporter.reference.hard_audio import hard_audio
from graphs.precision.blocks import PrecisionAssignment
from s2t_runtime.bundles.manifest import PrecisionErrors

EOS = 2
HEAD = "decoder.lm_head"


@pytest.fixture(scope="module")
def float32(digits_bundle: Path) -> Path:
    return digits_bundle / "fp32"


@pytest.fixture(scope="module")
def check(float32: Path, tmp_path_factory: pytest.TempPathFactory) -> Int8Check:
    cases = hard_audio(16_000, min_samples=400, max_samples=20_000, parameters=1)[:2]
    working = tmp_path_factory.mktemp("int8") / "working"
    return Int8Check(float32, working, cases, prompt=[EOS, FIRST_LANGUAGE], end_tokens=[EOS])


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A writer that halves one block's weights wherever it is in int8; says which block."""

    def spoilt(source: Path, directory: Path, *, float32: Collection[str], roundings: Roundings) -> None:
        write_trial_graphs(source, directory, float32=float32, roundings=roundings)
        if HEAD in float32:
            return
        path = directory / "decoder_with_past.onnx"
        model = onnx.load(path, load_external_data=False)
        (scale,) = (one for one in model.graph.initializer if one.name == "decoder.lm_head.weight_scale")
        numbers = onnx.numpy_helper.to_array(scale, base_dir=str(directory))
        scale.CopyFrom(onnx.numpy_helper.from_array(numbers / np.float32(2), scale.name))
        onnx.save(model, path)

    monkeypatch.setattr(int8_check, "write_trial_graphs", spoilt)
    return HEAD


def test_every_block_that_multiplies_is_named_with_its_weights(float32: Path, check: Int8Check) -> None:
    sizes = product_sizes(float32)
    assert tuple(sizes) == check.assignment.blocks
    assert sizes[HEAD] == 400 * 160
    assert any(block.startswith("encoder.adapter") for block in sizes)
    assert check.extra_bytes([HEAD]) == 3 * 400 * 160
    # Grouped, and the first, which sees raw audio.
    left = float32_convolutions(float32)
    assert {block.rpartition("encoder.")[2] for block in left} >= {"pos_conv_embed.conv"}
    assert set(left) == set(check.left_out)
    assert not set(left) & set(sizes)


def test_the_whole_model_keeps_the_budget(check: Int8Check) -> None:
    trial = check.trial(check.assignment)
    assert trial.errors is not None
    assert 0 < trial.errors.log_prob_difference < allowed().log_prob_difference
    assert trial.errors.token_agreement == 1


def test_nothing_in_int8_is_float32_itself_but_for_the_table(check: Int8Check) -> None:
    whole = check.trial(check.assignment).errors
    none = check.trial(check.assignment.widened(check.assignment.blocks)).errors
    assert whole is not None
    assert none is not None
    assert none.log_prob_difference < whole.log_prob_difference / 2


def test_a_block_that_breaks_the_budget_stays_in_float32(
    check: Int8Check, careless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [block for block in check.assignment.blocks if block == careless or "layers.1.fc" in block]
    monkeypatch.setattr(check, "assignment", PrecisionAssignment(tuple(few)))
    found = search_policy(check, allowed(), "int8")
    assert careless in found.assignment.float32
    block = found.record.blocks[careless]
    assert block.precision == "float32"
    assert block.extra_bytes == 3 * 400 * 160
    assert block.reason.startswith("alone in int8 it moves a log-probability by ")
    assert within(found.record.measured, allowed())
    assert found.record.base == "int8"


def test_a_budget_that_cannot_be_kept_is_refused(check: Int8Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "assignment", PrecisionAssignment((HEAD,)))
    monkeypatch.setattr(check, "harm", lambda _: 1.0)
    with pytest.raises(
        PrecisionError, match=r"^int8 does not keep its budget with any choice of blocks: .*"
    ) as caught:
        search_policy(check, PrecisionErrors(0.0, 1.0), "int8")
    assert str(caught.value).endswith(
        "export --precision fp32, allow more with --budget, or have it judged by recordings of yours alone with --audio"
    )


def test_no_copy_of_a_weight_is_left_in_float32(float32: Path, tmp_path: Path) -> None:
    write_int8_graphs(float32, tmp_path)
    left = {block: count for block, (_, count) in float32_convolutions(float32).items()}
    for name in ("encoder", "decoder_first_step", "decoder_with_past"):
        model = ir.load(tmp_path / f"{name}.onnx")
        floats = [
            value.const_value.size
            for value in model.graph.initializers.values()
            if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT
        ]
        # Scales, biases, norms, small position tables; and of the encoder the convolutions that stay.
        assert sum(floats) - (sum(left.values()) if name == "encoder" else 0) < 40_000
        products = {node.op_type for node in model.graph if node.name and "node_linear" in str(node.name)}
        assert "MatMul" not in products
    both = [(tmp_path / f"decoder_{step}.onnx").stat().st_size for step in ("first_step", "with_past")]
    data = (tmp_path / "decoder.onnx.data").stat().st_size
    assert data < 0.27 * (float32 / "decoder.onnx.data").stat().st_size
    assert max(both) < 200_000


def test_a_trial_leaves_nothing_behind(check: Int8Check) -> None:
    check.trial(check.assignment)
    assert list(check._working.parent.iterdir()) == []


def test_rows_of_a_batch_are_judged_like_single_utterances(check: Int8Check) -> None:
    reference = check._references[1]
    assert reference.log_probs.shape[:2] == reference.chosen.shape
    assert reference.chosen.shape[1] == len(reference.case.waveforms) == 2
    assert np.array_equal(reference.log_probs.argmax(axis=-1), reference.chosen)
