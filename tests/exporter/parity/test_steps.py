"""The budget of a lower precision on the example's files: kept as exported, broken by planted faults."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from exporter.checkpoints.checkpoint import load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.parity.check import check_parity
from exporter.parity.steps import compare_steps
from exporter.reference.eager import EagerReference
from exporter.reference.probe_audio import probe_utterance
from exporter.reference.step_errors import MEASURES
from exporter.reference.utterance import Utterance
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.sessions.onnxruntime.session import OnnxSession

PROMPT = (2, 5)


@pytest.fixture(scope="module")
def reference(digits_checkpoint: Path) -> EagerReference:
    return EagerReference(load_checkpoint(locate_checkpoint(str(digits_checkpoint))))


@pytest.fixture(scope="module")
def utterances() -> list[Utterance]:
    return [Utterance(f"probe-{seed}", probe_utterance(1.2 + seed / 4, 16_000, seed)) for seed in range(3)]


def steps_of(
    reference: EagerReference, bundle: Path, precision: str, utterances: list[Utterance]
) -> tuple[float, float]:
    session = OnnxSession(open_bundle(bundle), precision, provider="cpu", threads=1)
    errors = compare_steps(reference, session, utterances, PROMPT, None, MEASURES["float16"], ())
    return errors.log_prob_difference, errors.token_agreement


def test_fp32_is_next_to_eager_and_fp16_within_rounding(
    reference: EagerReference, digits_fp16_bundle: Path, utterances: list[Utterance]
) -> None:
    full, agreement = steps_of(reference, digits_fp16_bundle, "fp32", utterances)
    assert full < 1e-4
    assert agreement == 1
    half, agreement = steps_of(reference, digits_fp16_bundle, "fp16", utterances)
    assert 10 * full < half < 0.1
    assert agreement > 0.9


def test_a_decoder_of_few_positions_is_compared_as_far_as_they_reach(
    reference: EagerReference, digits_fp16_bundle: Path, utterances: list[Utterance]
) -> None:
    session = OnnxSession(open_bundle(digits_fp16_bundle), "fp16", provider="cpu", threads=1)
    errors = compare_steps(
        reference, session, utterances[:1], PROMPT, len(PROMPT) + 1, MEASURES["float16"], ()
    )
    assert errors.token_agreement in {0, 0.5, 1}  # of two steps


def with_scaled_logits(bundle: Path, factor: float) -> None:
    """All logits of the fp16 graph with past, and with them the candidates, times a factor."""
    path = bundle / "fp16" / "decoder_with_past.onnx"
    model = ir.load(path)
    output = next(value for value in model.graph.outputs if value.name == "logits")
    source = output.producer()
    assert source is not None
    constant = ir.val("planted", const_value=ir.tensor(np.float32(factor), name="planted"))
    model.graph.register_initializer(constant)
    scaled = ir.node("Mul", [output, constant])
    output.name = "unscaled"
    scaled.outputs[0].name, scaled.outputs[0].type, scaled.outputs[0].shape = (
        "logits",
        output.type,
        output.shape,
    )
    for use in [use for use in output.uses() if use.node is not scaled]:
        use.node.replace_input_with(use.idx, scaled.outputs[0])
    model.graph.insert_after(source, scaled)
    model.graph.outputs[[value is output for value in model.graph.outputs].index(True)] = scaled.outputs[0]
    ir.save(model, path)
    # Opening the bundle must not notice.
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    entry = manifest["files"]["fp16/decoder_with_past.onnx"]
    entry["size"], entry["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_a_planted_fault_breaks_the_budget_and_check_says_so(
    reference: EagerReference, digits_fp16_bundle: Path, tmp_path: Path, utterances: list[Utterance]
) -> None:
    bundle = Path(shutil.copytree(digits_fp16_bundle, tmp_path / "bundle"))
    # Within the tolerance of a graph's single output, but not of the budget.
    with_scaled_logits(bundle, 1.025)
    assert steps_of(reference, bundle, "fp16", utterances)[0] > 0.1
    report = check_parity(reference.checkpoint, bundle, precision="fp16")
    assert not report.passed
    assert any("beyond the budget along eager's tokens" in sentence for sentence in report.failures())
