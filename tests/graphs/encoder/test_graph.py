"""Encoder graphs against feature extractor and eager encoder, and the parts they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.graphs.comparison import TOLERANCE, compare_encoder, torch_encoder_graph, utterances
from support.tiny import models as tiny_models
from support.tiny.encoders import ENCODERS, MIN_SAMPLES, takes_features, tiny_encoder, tiny_extractor
from support.tiny.models import PAIRS, Once, Pair
from support.tiny.unsaved import unsaved
from torch import Tensor

import graphs.encoder.graph
from exporter.onnx.session import GraphRunner
from exporter.reference.audio_limits import min_samples
from exporter.reference.eager import EagerReference
from graphs.encoder.graph import (
    EncoderGraph,
    MaskedAssignment,
    frame_lengths,
    masks_from_lengths,
)
from graphs.encoder.waveform import WaveformFeatures, mask_from_lengths

Waveform = NDArray[np.float32]
SPEECH = utterances(0.2, 0.05, 0.13)
TWO_FRAMES_OF_LOG_MEL = 560 + 160
OFFSET = [waveform * 0.01 + 0.5 for waveform in SPEECH]


def batches(shortest: int) -> dict[str, list[Waveform]]:
    """Padded batches of an encoder that takes ``shortest`` samples and more."""
    return {
        "padded": SPEECH,
        "shortest": [SPEECH[0][:shortest], SPEECH[0][: shortest + 1], SPEECH[1]],
        "shortest alone": [SPEECH[0][:shortest]],
        "one sample apart": [SPEECH[0][: 699 + more] for more in range(21)],
        # Every remainder of what squeezing, stacking and adapters divide frames by.
        **{f"{more} frames more": [SPEECH[0][: 1300 + 20 * more]] for more in range(6)},
        "offset": OFFSET,
        "quiet and loud": [SPEECH[0] * 30, SPEECH[1] * 1e-4, SPEECH[2]],
        "silence": [SPEECH[0], np.zeros(900, dtype=np.float32)],
    }


# Each pair's extractor works in another way: without a mask, plainly, without normalisation, with a
# padding value.
MASKED = PAIRS[1]


IN_EVERY_RUN = {"wav2vec2-stable-adapter", "wavlm"}
"""The other graphs are made by the broad tests; their modules are compared without a graph in every run."""


def test_the_pairs_extract_features_in_every_way() -> None:
    ways = {(p.return_attention_mask, p.do_normalize, p.padding_value) for p in PAIRS}
    assert ways == {(False, True, 0.0), (True, True, 0.0), (True, False, 0.0), (True, True, 0.25)}


@pytest.mark.parametrize(
    "pair",
    [pair if pair.encoder in IN_EVERY_RUN else pytest.param(pair, marks=pytest.mark.broad) for pair in PAIRS],
    ids=lambda pair: pair.name,
)
def test_graph_equals_extractor_and_eager_encoder(once: Once, pair: Pair) -> None:
    reference = EagerReference(tiny_models.load(once, pair))
    assert min_samples(reference.checkpoint) == MIN_SAMPLES
    run = GraphRunner(tiny_models.encoder_graph(once, pair) / "encoder.onnx").run
    for title, waveforms in batches(MIN_SAMPLES).items():
        found = compare_encoder(reference, run, waveforms)
        assert max(found.values()) < TOLERANCE, (title, found)


def in_memory(pair: Pair, **changes: Any) -> EagerReference:
    """A reference that was never saved: the torch modules need no files."""
    model = tiny_models.tiny_model(pair.encoder, pair.decoder, pair.hidden, **changes)
    extractor = tiny_extractor(
        model.config.encoder.model_type,
        do_normalize=pair.do_normalize,
        padding_value=pair.padding_value,
        return_attention_mask=pair.return_attention_mask,
    )
    return EagerReference(unsaved(model, extractor))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_module_equals_eager_for_every_variant(encoder: str, masked: bool) -> None:
    reference = in_memory(Pair(encoder, "mbart", hidden=24, return_attention_mask=masked, padding_value=0.25))
    run = torch_encoder_graph(reference)
    for title, waveforms in batches(min_samples(reference.checkpoint)).items():
        if title in {"offset", "quiet and loud", "silence"}:
            continue  # of feature extraction, which has tests of its own
        found = compare_encoder(reference, run, waveforms)
        # Two frames of log-mel may hardly differ: their deviation then raises the extractor's own rounding.
        few_frames = takes_features(encoder) and min(map(len, waveforms)) < TWO_FRAMES_OF_LOG_MEL
        assert max(found.values()) < (10 * TOLERANCE if few_frames else TOLERANCE), (title, found)


def test_states_that_an_adapter_leaves_transposed_reach_gpt2() -> None:
    """Eager takes them one utterance at a time only, and without enc_to_dec_proj nothing makes them new."""
    reference = in_memory(Pair("wav2vec2-stable-adapter", "gpt2"))
    assert not hasattr(reference.model, "enc_to_dec_proj")
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        reference.generate(SPEECH)
    found = compare_encoder(reference, torch_encoder_graph(reference), SPEECH)
    assert max(found.values()) < TOLERANCE, found


def one_pass(self: Any, audio: Tensor, lengths: Tensor) -> Tensor:
    valid = mask_from_lengths(lengths, audio.shape[1])
    weights = valid.to(audio.dtype)
    count = weights.sum(-1, keepdim=True)
    mean = (audio * weights).sum(-1, keepdim=True) / count
    variance = (audio.square() * weights).sum(-1, keepdim=True) / count - mean.square()
    return torch.where(valid, (audio - mean) / torch.sqrt(variance + 1e-7), torch.zeros(()))


def test_one_pass_statistics_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = in_memory(MASKED)
    run = torch_encoder_graph(reference)
    assert compare_encoder(reference, run, OFFSET)["encoder_states"] < TOLERANCE
    monkeypatch.setattr(WaveformFeatures, "forward", one_pass)
    assert compare_encoder(reference, run, OFFSET)["encoder_states"] > 50 * TOLERANCE


def test_padding_that_is_attended_to_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = in_memory(MASKED)
    everything = graphs.encoder.graph.mask_from_lengths

    def all_frames(lengths: Tensor, size: int) -> Tensor:
        # Leaves the sample mask alone, so that only attention sees the padding.
        return everything(lengths if size > 1000 else torch.full_like(lengths, size), size)

    monkeypatch.setattr(graphs.encoder.graph, "mask_from_lengths", all_frames)
    with pytest.raises(AssertionError, match="Mismatch"):
        compare_encoder(reference, torch_encoder_graph(reference), SPEECH)
    encode = EncoderGraph.encode

    def right_mask(self: Any, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = encode(self, audio, lengths)
        return states, everything(frame_lengths(self.encoder, lengths), states.shape[1])

    monkeypatch.setattr(EncoderGraph, "encode", right_mask)
    assert compare_encoder(reference, torch_encoder_graph(reference), SPEECH)["encoder_states"] > 1e-2


def test_cross_keys_of_another_layer_would_fail() -> None:
    reference = in_memory(Pair("hubert", "bart", hidden=24))
    run = torch_encoder_graph(reference)

    def swapped(feeds: Any) -> Any:
        outputs = run(feeds)
        return {**outputs, "cross_key.0": outputs["cross_key.1"], "cross_key.1": outputs["cross_key.0"]}

    assert max(compare_encoder(reference, run, SPEECH).values()) < TOLERANCE
    assert compare_encoder(reference, swapped, SPEECH)["cross_key"] > 1e-2


@pytest.mark.parametrize("encoder", ENCODERS)
def test_frame_masks_are_those_of_transformers(encoder: str) -> None:
    model = tiny_encoder(encoder)
    # What the encoder counts: samples, of which the convolutions need some, or stacked frames.
    shortest = 1 if takes_features(encoder) else MIN_SAMPLES
    for sizes in (range(shortest, shortest + 360), (shortest, 1001, 4000, 16_000, 40_003)):
        lengths, longest = torch.tensor(sizes), max(sizes)
        samples = mask_from_lengths(lengths, longest)
        for before_adapter in (False, True):
            frames = int(frame_lengths(model, torch.tensor([longest]), before_adapter=before_adapter)[0])
            adapter = (
                {"add_adapter": False} if before_adapter and hasattr(model.config, "add_adapter") else {}
            )
            wanted = model._get_feature_vector_attention_mask(frames, samples.long(), **adapter)
            with masks_from_lengths(model, lengths):
                got = model._get_feature_vector_attention_mask(frames, samples, **adapter)
            assert got.dtype == torch.bool
            assert torch.equal(got, wanted.bool())


def test_frame_masks_are_given_back_after_an_error() -> None:
    model = tiny_encoder("hubert")
    method = model._get_feature_vector_attention_mask

    def fail() -> None:
        with masks_from_lengths(model, torch.tensor([400])):
            assert model._get_feature_vector_attention_mask != method
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert model._get_feature_vector_attention_mask == method


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("value", [0, -2.5])
def test_masked_assignment_equals_boolean_assignment(axes: int, value: float) -> None:
    generator = torch.Generator().manual_seed(axes)
    states = torch.randn((3, 4, 5), generator=generator)
    mask = torch.rand(states.shape[:axes], generator=generator) > 0.5
    wanted, got = states.clone(), states.clone()
    wanted[mask] = value
    with MaskedAssignment():
        got[mask] = value
    assert torch.equal(got, wanted)
    assert not torch.equal(got, states)


def test_other_assignments_stay_as_they_are() -> None:
    states, mask = torch.arange(12.0).reshape(3, 4), torch.tensor([True, False, True])
    with MaskedAssignment():
        states[0] = 7.0
        states[:, 1] = torch.tensor([1.0, 2.0, 3.0])
        states[mask] = torch.tensor([9.0, 8.0, 6.0, 5.0])
    assert states.tolist() == [[9, 8, 6, 5], [4, 2, 6, 7], [9, 8, 6, 5]]


@pytest.mark.parametrize("size", [1, 4])
def test_mask_from_lengths(size: int) -> None:
    mask = mask_from_lengths(torch.tensor([1, size, size + 3]), size)
    assert mask.tolist() == [[place < limit for place in range(size)] for limit in (1, size, size + 3)]
