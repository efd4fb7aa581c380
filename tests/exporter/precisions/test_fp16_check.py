"""Half arithmetic as the judge: it sees what ONNX Runtime's CPU provider hides, and blames the right block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from support.tiny import models as tiny_models
from support.tiny.unsaved import unsaved

from exporter.precisions.fp16_check import Fault, Fp16Check
from exporter.reference.hard_audio import AudioCase, hard_audio, recorded
from exporter.reference.utterance import Utterance

RATE, SHORTEST, LONGEST = 16_000, 400, 9_000


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cases() -> tuple[AudioCase, ...]:
    return hard_audio(RATE, min_samples=SHORTEST, max_samples=LONGEST, parameters=1)


def check_of(model: Any, chosen: Sequence[AudioCase] | None = None) -> Fp16Check:
    extractor = tiny_models.tiny_extractor(model.config.encoder.model_type)
    return Fp16Check(unsaved(model, extractor), chosen or cases()[:3], prompt=[2])


def test_onnx_runtime_on_the_cpu_hides_an_overflow() -> None:
    """Why torch is the judge. Where this fails ONNX Runtime has learnt to round, and may judge as well."""
    nodes = [helper.make_node("Mul", ["x", "x"], ["square"]), helper.make_node("Sqrt", ["square"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1]) for name in "xy")
    model = helper.make_model(
        helper.make_graph(nodes, "overflow", [x], [y]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    given = np.array([1000], dtype=np.float16)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": given})[0] == 1000
    assert torch.from_numpy(given).square().sqrt().isinf().all()


def test_hard_audio_is_what_its_names_say() -> None:
    audio = {case.name: case.waveforms for case in cases()}
    assert {"speech", "padded", "loud", "clipped", "silent", "long"} <= set(audio)
    assert all(
        SHORTEST <= len(waveform) <= LONGEST and waveform.dtype == np.float32 and np.isfinite(waveform).all()
        for waveforms in audio.values()
        for waveform in waveforms
    )
    assert len({len(waveform) for waveform in audio["padded"]}) == 2 or LONGEST < 0.6 * RATE
    assert np.abs(audio["loud"][0]).max() > 10
    assert not audio["silent"][0].any()
    assert np.mean(np.abs(audio["clipped"][0]) == 1) > 0.3
    long_enough = hard_audio(RATE, min_samples=SHORTEST, max_samples=10**6, parameters=1)
    assert max(len(waveform) for waveform in long_enough[-1].waveforms) == 12 * RATE
    large = hard_audio(RATE, min_samples=SHORTEST, max_samples=10**6, parameters=10**9)
    assert len(large[-1].waveforms[0]) == 6 * RATE


def test_recordings_are_cases_of_their_own() -> None:
    waveform = np.zeros(500, dtype=np.float32)
    utterances = [Utterance("one.wav", waveform), Utterance("two.wav", waveform)]
    assert recorded(utterances) == (
        AudioCase("one.wav", (waveform,)),
        AudioCase("two.wav", (waveform,)),
    )


@pytest.mark.parametrize(("encoder", "decoder"), [("wavlm", "bart"), ("wav2vec2-group", "gpt2")])
def test_a_model_that_fits_is_near_float32_and_stays_as_it_was(encoder: str, decoder: str) -> None:
    model = tiny_models.tiny_model(encoder, decoder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check = check_of(model)
    trial = check.trial(check.assignment)
    assert trial.fault is None
    assert trial.errors is not None
    assert 0 < trial.errors.log_prob_difference < 0.1
    assert trial.errors.token_agreement > 0.9
    exact = check.trial(check.assignment.widened(check.assignment.blocks)).errors
    assert exact is not None
    # States and caches are float16 all the same.
    assert 0 < exact.log_prob_difference < trial.errors.log_prob_difference
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_restricted_projection_is_judged_by_its_own_rows() -> None:
    model = tiny_models.tiny_model("wav2vec2-group", "gpt2")
    head, ids = model.decoder.lm_head, torch.tensor([0, 2, 9, 17, 37, 38, 41, 55])
    extractor = tiny_models.tiny_extractor(model.config.encoder.model_type)
    check = Fp16Check(unsaved(model, extractor), cases()[:1], prompt=[2], output_ids=ids)
    trial = check.trial(check.assignment)
    assert trial.errors is not None
    assert 0 < trial.errors.log_prob_difference < 0.1
    (reference,) = check._references
    assert reference.log_probs[0].shape[-1] == len(ids)
    assert {int(token) for tokens in reference.tokens[1:] for token in tokens} <= set(ids.tolist())
    # Tied to the input table, it has weights of its own all the same.
    assert check.extra_bytes(["decoder.lm_head"]) == 2 * len(ids) * 16
    assert head.weight is model.decoder.transformer.wte.weight


@torch.no_grad()
def test_the_first_fault_in_the_order_of_computation_is_reported() -> None:
    model = tiny_models.tiny_model("wav2vec2-stable-adapter", "mbart")
    encoder_layer, decoder_layer = model.encoder.encoder.layers[1], model.decoder.model.decoder.layers[0]
    decoder_layer.fc1.bias += 1e6
    check = check_of(model)
    assert check.trial(check.assignment).fault == Fault(
        "decoder.model.decoder.layers.0.fc1", at_exit=False, case="speech"
    )
    encoder_layer.feed_forward.output_dense.bias += 1e6
    check = check_of(model)
    name = "encoder.encoder.layers.1.feed_forward.output_dense"
    assert check.trial(check.assignment).fault == Fault(name, at_exit=False, case="speech")
    # In float32 its result still does not fit the float16 of the block around it.
    assert check.trial(check.assignment.widened([name])).fault == Fault(name, at_exit=True, case="speech")


@torch.no_grad()
def test_a_block_that_would_mix_types_is_to_blame() -> None:
    model = tiny_models.tiny_model("wav2vec2-stable-adapter", "mbart")
    attention = model.encoder.encoder.layers[0].attention
    # Keys beyond the range, and queries so small that the scores are moderate.
    attention.k_proj.weight *= 1e5
    attention.q_proj.weight /= 1e5
    attention.q_proj.bias /= 1e5
    check = check_of(model)
    name = "encoder.encoder.layers.0.attention"
    assert check.peaks[f"{name}.k_proj"] > 65504
    keys = check.assignment.widened([f"{name}.k_proj"], [f"{name}.k_proj"])
    assert check.trial(keys).fault == Fault(name, at_exit=False, case="speech")
    assert check.trial(keys.widened([name])).fault is None


def test_an_error_of_the_model_itself_is_not_taken_for_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_models.tiny_model("wav2vec2-stable-adapter", "mbart")
    check = check_of(model)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(model.decoder.lm_head, "forward", broken)
    with pytest.raises(RuntimeError, match="no such thing"):
        check.trial(check.assignment)


def test_parameters_are_counted_with_their_blocks() -> None:
    model = tiny_models.tiny_model("wavlm", "bart")
    check = check_of(model)
    attention = model.encoder.encoder.layers[0].attention
    # WavLM reads the weights of its projections without calling them.
    own = check.extra_bytes(["encoder.encoder.layers.0.attention"])
    assert own >= 2 * sum(parameter.numel() for parameter in attention.q_proj.parameters())
    decoder = [block for block in check.assignment.blocks if block.startswith("decoder")]
    # The embedding is tied, so that two blocks own it.
    assert check.extra_bytes(decoder) == 2 * sum(
        parameter.numel() for parameter in model.decoder.parameters()
    )


def test_peaks_are_float32s(tmp_path: Path) -> None:
    model = tiny_models.tiny_model("wav2vec2-stable-adapter", "mbart")
    check = check_of(model, cases()[:1])
    seen: list[float] = []
    hook = model.encoder.feature_projection.projection.register_forward_hook(
        lambda _module, _given, output: seen.append(float(output.abs().max()))
    )
    check_of(model, cases()[:1])
    hook.remove()
    assert check.peaks["encoder.feature_projection.projection"] == max(seen)
