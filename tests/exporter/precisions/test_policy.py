"""The search for what float16 cannot hold: models that are made to overflow in one place, and what it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import models as tiny_models
from support.tiny.unsaved import unsaved
from torch import nn

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import PrecisionError
from exporter.onnx.write_graphs import write_decoders, write_encoder
from exporter.parity.differences import RELATIVE_TOLERANCE
from exporter.parity.graphs import compare_graphs
from exporter.precisions.fp16_check import Fault, Fp16Check, Trial
from exporter.precisions.policy import FoundPolicy, allowed, fp16_policy, search_policy, within
from exporter.reference.eager import EagerReference
from exporter.reference.hard_audio import hard_audio, recorded
from exporter.reference.probe_audio import probe_utterance
from exporter.reference.utterance import Utterance
from graphs import decoder_geometry
from graphs.precision.blocks import LARGEST_HALF, PrecisionAssignment
from s2t_runtime.bundles.manifest import BlockPrecision, PrecisionErrors

FIXED = {"features", "norms", "softmax", "scores"}
BUDGET = allowed()
LAYERS = 3


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def checkpoint_of(
    encoder: str = "wav2vec2-stable-adapter", decoder: str = "mbart", **changes: Any
) -> Checkpoint:
    model = tiny_models.tiny_model(encoder, decoder, num_hidden_layers=LAYERS, **changes)
    return unsaved(model, tiny_models.tiny_extractor(model.config.encoder.model_type))


def check_of(checkpoint: Checkpoint) -> Fp16Check:
    cases = hard_audio(16_000, min_samples=400, max_samples=9_000, parameters=1)
    return Fp16Check(checkpoint, cases, prompt=[2])


def named(found: FoundPolicy) -> set[str]:
    return set(found.record.blocks) - FIXED


def largest(check: Fp16Check, block: str) -> float:
    return check.peaks[block]


@torch.no_grad()
def scale(module: nn.Linear, factor: float) -> None:
    module.weight *= factor
    module.bias *= factor


@torch.no_grad()
def overflow_inside(first: nn.Linear, second: nn.Linear, factor: float) -> None:
    """What leaves ``second`` stays the same but for the activation between, which is ``factor`` times as large."""
    scale(first, factor)
    second.weight /= factor


def assert_exported_finite_and_within_budget(
    checkpoint: Checkpoint, found: FoundPolicy, directory: Path
) -> None:
    """In torch's half arithmetic, and the files in ONNX Runtime."""
    errors = check_of(checkpoint).trial(found.assignment).errors
    assert errors is not None
    assert within(errors, BUDGET)
    decoder = checkpoint.model.decoder
    geometry = decoder_geometry(decoder)
    write_encoder(
        checkpoint,
        geometry,
        min_samples=400,
        max_samples=60_000,
        directory=directory,
        assignment=found.assignment,
    )
    write_decoders(decoder, geometry, directory, lambda _: None, found.assignment)
    rows = compare_graphs(EagerReference(checkpoint), directory, geometry, min_samples=400, precision="fp16")
    assert [row for row in rows if not row.passed] == []
    assert {row.output for row in rows} >= {"encoder_states", "cross_key", "logits", "present_value"}


def test_a_plain_model_needs_no_block_in_float32() -> None:
    found = search_policy(check_of(checkpoint_of()), BUDGET)
    assert named(found) == set()
    assert set(found.record.blocks) >= FIXED
    assert found.record.base == "float16"
    assert within(found.record.measured, BUDGET)
    assert found.record.blocks["norms"].extra_bytes > 0


def with_large_activation() -> Checkpoint:
    """Layer 1's feed-forward: only what is between its two matrices passes float16's border."""
    checkpoint = checkpoint_of()
    layer = checkpoint.model.encoder.encoder.layers[1].feed_forward
    peak = largest(check_of(checkpoint), "encoder.encoder.layers.1.feed_forward.intermediate_dense")
    overflow_inside(layer.intermediate_dense, layer.output_dense, 3 * LARGEST_HALF / peak)
    return checkpoint


def test_a_feed_forward_that_overflows_inside_is_named_and_nothing_else() -> None:
    checkpoint = with_large_activation()
    check = check_of(checkpoint)
    beyond = {block for block, value in check.peaks.items() if value > LARGEST_HALF}
    assert beyond == {
        f"encoder.encoder.layers.1.feed_forward.{part}"
        for part in ("intermediate_dense", "intermediate_act_fn")
    }
    assert check.trial(check.assignment).fault is not None
    found = search_policy(check, BUDGET)
    assert named(found) == {"encoder.encoder.layers.1.feed_forward"}
    block = found.record.blocks["encoder.encoder.layers.1.feed_forward"]
    assert block.precision == "float32"
    assert "float16 ends at 65504" in block.reason
    layer = checkpoint.model.encoder.encoder.layers[1].feed_forward
    assert block.extra_bytes == 2 * sum(parameter.numel() for parameter in layer.parameters())


@pytest.mark.broad
def test_graphs_with_such_an_activation_are_finite_and_within_budget(tmp_path: Path) -> None:
    checkpoint = with_large_activation()
    found = search_policy(check_of(checkpoint), BUDGET)
    assert_exported_finite_and_within_budget(checkpoint, found, tmp_path)


@pytest.mark.broad
def test_a_decoders_feed_forward_without_a_module_of_its_own(tmp_path: Path) -> None:
    checkpoint = checkpoint_of()
    layer = checkpoint.model.decoder.model.decoder.layers[0]
    peak = largest(check_of(checkpoint), "decoder.model.decoder.layers.0.fc1")
    overflow_inside(layer.fc1, layer.fc2, 3 * LARGEST_HALF / peak)
    found = search_policy(check_of(checkpoint), BUDGET)
    parts = ("fc1", "activation_fn", "fc2")
    assert named(found) == {f"decoder.model.decoder.layers.0.{part}" for part in parts}
    assert_exported_finite_and_within_budget(checkpoint, found, tmp_path)


@pytest.mark.parametrize("first", [1, 2])
def test_a_residual_stream_beyond_the_range_from_a_block_on(first: int) -> None:
    check = check_of(with_large_stream(first))
    beyond = {block for block, value in check.peaks.items() if value > LARGEST_HALF}
    stream = {f"encoder.encoder.layers.{number}" for number in range(first, LAYERS)}
    assert beyond == stream
    found = search_policy(check, BUDGET)
    assert named(found) == {f"{block} (residual)" for block in stream}
    assert all(found.record.blocks[name].extra_bytes == 0 for name in named(found))


@pytest.mark.broad
def test_graphs_with_such_a_stream_are_finite_and_within_budget(tmp_path: Path) -> None:
    checkpoint = with_large_stream(1)
    found = search_policy(check_of(checkpoint), BUDGET)
    assert_exported_finite_and_within_budget(checkpoint, found, tmp_path)


def with_large_stream(first: int) -> Checkpoint:
    """Two neighbouring layers give what float16 still holds; their sum in the residual stream it does not."""
    checkpoint = checkpoint_of()
    layers = checkpoint.model.encoder.encoder.layers
    for number in (first - 1, first):
        name = f"encoder.encoder.layers.{number}.feed_forward.output_dense"
        scale(
            layers[number].feed_forward.output_dense,
            0.95 * LARGEST_HALF / largest(check_of(checkpoint), name),
        )
    return checkpoint


def test_a_recording_can_need_what_built_in_audio_does_not() -> None:
    model = tiny_models.tiny_model("wav2vec2-layer", "mbart")
    checkpoint = unsaved(
        model, tiny_models.tiny_extractor(model.config.encoder.model_type, do_normalize=False)
    )
    cases = hard_audio(16_000, min_samples=400, max_samples=9_000, parameters=1)
    assert named(fp16_policy(checkpoint, cases, prompt=[2], max_positions=None)) == set()
    # Samples as integers hold them: far beyond what a model without normalisation is made for.
    integers = Utterance("integers.wav", 32_767 * probe_utterance(0.5, 16_000, 1) * 40)
    found = fp16_policy(checkpoint, (*cases, *recorded([integers])), prompt=[2], max_positions=None)
    assert named(found)
    assert all("(audio: integers.wav)" in found.record.blocks[name].reason for name in named(found))


def test_a_budget_that_is_broken_widens_the_most_harmful_part_first() -> None:
    checkpoint = checkpoint_of()
    check = check_of(checkpoint)
    errors = check.trial(check.assignment).errors
    assert errors is not None
    tight = dataclasses.replace(BUDGET, log_prob_difference=0.95 * errors.log_prob_difference)
    found = search_policy(check, tight)
    assert named(found)
    assert within(found.record.measured, tight)
    for name in named(found):
        assert "alone in float16 it moves a log-probability by" in found.record.blocks[name].reason
    every = frozenset(check.assignment.blocks)
    assert found.assignment.float32 < every


class Scripted:
    """A check that answers by a script: what the search makes of answers that no small model gives."""

    def __init__(self, *answers: Fault | PrecisionErrors) -> None:
        self.assignment = PrecisionAssignment(
            ("encoder", "encoder.layers.0", "encoder.layers.0.norm", "decoder", "decoder.head")
        )
        self.norms = frozenset({"encoder.layers.0.norm"})
        self.left_out: Mapping[str, BlockPrecision] = {}
        self.peaks = {"encoder.layers.0": 1e6, "decoder.head": 3.0}
        self.answers = list(answers)
        self.asked: list[PrecisionAssignment] = []

    def trial(self, assignment: PrecisionAssignment) -> Trial:
        self.asked.append(assignment)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Trial(answer, None) if isinstance(answer, Fault) else Trial(None, answer)

    def harm(self, assignment: PrecisionAssignment) -> float:
        return 0.1 * len(assignment.float32)

    def extra_bytes(self, blocks: Collection[str]) -> int:
        return len(blocks)


def test_no_choice_of_blocks_keeps_the_budget() -> None:
    check = Scripted(PrecisionErrors(0.5, 0.9))
    with pytest.raises(
        PrecisionError,
        match=r"float16 does not keep its budget with any choice of blocks: largest log-probability difference 0\.5 "
        r"\(allowed 0\.1\), token agreement 90\.0% \(at least 95\.0%\); export --precision fp32, "
        r"or allow more with --budget$",
    ):
        search_policy(check, BUDGET)
    assert check.asked[-1].float32 == frozenset(check.assignment.blocks) - check.norms


def test_a_value_that_float32_does_not_mend_is_an_error() -> None:
    fault = Fault("encoder.layers.0", at_exit=False, case="loud")
    with pytest.raises(
        PrecisionError,
        match=r"encoder\.layers\.0 computes in float32 and still leaves float16's range, which ends at 65504 "
        r"\(audio: loud\), so that states or caches cannot hold its results: export --precision fp32",
    ):
        search_policy(Scripted(fault, fault), BUDGET)


def test_nan_is_within_no_budget() -> None:
    assert not within(PrecisionErrors(float("nan"), 1.0), BUDGET)


def test_a_result_that_does_not_leave_its_block_is_handed_on_in_float32() -> None:
    norm = "encoder.layers.0.norm"
    check = Scripted(Fault(norm, at_exit=True, case="loud"), PrecisionErrors(0.0, 1.0))
    found = search_policy(check, BUDGET)
    assert (found.assignment.float32, found.assignment.unbounded) == (frozenset(), frozenset({norm}))


def test_the_tolerance_of_fp16_is_between_its_rounding_and_a_fault() -> None:
    assert 1e-3 < RELATIVE_TOLERANCE["fp16"] < 1e-1
