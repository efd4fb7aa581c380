"""How short audio may be, and whether padding changes what an utterance gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny import models as tiny_models
from support.tiny.encoders import ENCODERS, MIN_SAMPLES, tiny_extractor
from support.tiny.unsaved import unsaved
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.reference import audio_limits
from exporter.reference.audio_limits import min_samples, padding_is_safe
from graphs import EncoderGraph

# The convolutions of every published wav2vec2, hubert and wavlm, a few channels wide.
REAL_CONVOLUTIONS = {
    "conv_dim": (4,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
}


def checkpoint(encoder: str, *, masked: bool = True, rate: int = 16_000, **changes: Any) -> Checkpoint:
    model = tiny_models.tiny_model(encoder, "mbart", hidden=24, **changes)
    extractor = tiny_extractor(model.config.encoder.model_type, return_attention_mask=masked)
    extractor.sampling_rate = rate
    return unsaved(model, extractor)


@pytest.mark.parametrize("encoder", ["wav2vec2-group", "wav2vec2-stable-adapter", "hubert", "wavlm"])
def test_the_real_convolutions_need_400_samples(encoder: str) -> None:
    real = checkpoint(encoder, **REAL_CONVOLUTIONS)
    assert min_samples(real) == 400
    with torch.no_grad():
        assert real.model.encoder(torch.randn(1, 400)).last_hidden_state.shape[1] == 1
        with pytest.raises(RuntimeError):
            real.model.encoder(torch.randn(1, 399))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_sample_less_gives_nothing(encoder: str) -> None:
    """The measure for all: eager hears the shortest audio, and nothing in a sample less."""
    tried = checkpoint(encoder)
    shortest = min_samples(tried)
    assert audio_limits._problem(tried, shortest) is None
    assert audio_limits._problem(tried, shortest - 1) is not None


@pytest.mark.parametrize(
    ("encoder", "shortest"),
    [
        ("wav2vec2-layer", MIN_SAMPLES),
        ("conformer-rotary", MIN_SAMPLES),
        # Frames are 20 samples apart, and two or three of them are squeezed into one.
        ("sew", MIN_SAMPLES + 20),
        ("sew-d-layer", MIN_SAMPLES + 40),
        ("sew-unsqueezed", MIN_SAMPLES),
        # Two frames: a single one has no variance.
        ("bert-relative-key", 560),
        ("bert-adapter", 560),
    ],
)
def test_the_shortest_audio(encoder: str, shortest: int) -> None:
    assert min_samples(checkpoint(encoder)) == shortest


@pytest.mark.parametrize(
    ("encoder", "extractor", "message"),
    [
        (
            "bert-rotary",
            Wav2Vec2FeatureExtractor(),
            "Wav2Vec2FeatureExtractor gives input_values and the encoder (wav2vec2-bert) takes input_features: save "
            "the encoder's own feature extractor with the checkpoint",
        ),
        (
            "wav2vec2-layer",
            SeamlessM4TFeatureExtractor(),
            "SeamlessM4TFeatureExtractor gives input_features and the encoder (wav2vec2) takes input_values: save the "
            "encoder's own feature extractor with the checkpoint",
        ),
        (
            "bert-rotary",
            SeamlessM4TFeatureExtractor(),
            "SeamlessM4TFeatureExtractor with num_mel_bins 80 gives 160 numbers per frame and the encoder "
            "(wav2vec2-bert) has feature_projection_input_dim 20: set num_mel_bins to what it was trained with",
        ),
    ],
)
def test_a_feature_extractor_of_another_family(encoder: str, extractor: Any, message: str) -> None:
    model = tiny_models.tiny_model(encoder, "mbart", hidden=24)
    with pytest.raises(CheckpointError) as caught:
        min_samples(unsaved(model, extractor))
    assert str(caught.value) == message


def test_convolutions_that_swallow_ten_seconds_are_refused() -> None:
    greedy = checkpoint("wav2vec2-layer", rate=100, conv_kernel=(10, 300, 3))
    with pytest.raises(
        CheckpointError, match="no frame for 10 s of audio: check conv_kernel and conv_stride"
    ):
        min_samples(greedy)


@pytest.mark.parametrize(
    ("encoder", "masked", "safe"),
    [
        ("wav2vec2-layer", True, True),
        ("wav2vec2-attention-adapters", True, True),
        ("hubert-stable", True, True),
        ("wavlm-stable", True, True),
        ("wav2vec2-layer", False, False),
        ("hubert-stable", False, False),
        ("wavlm-stable", False, False),
        ("wav2vec2-group", True, False),
        ("hubert", True, False),
        ("wavlm", True, False),
        ("wav2vec2-stable-adapter", True, False),
        ("wavlm-adapter", True, False),
        # Several positional convolutions in a row: the second one reads what the first makes of padding.
        ("data2vec-audio", True, False),
        ("data2vec-audio-adapter", True, False),
        ("unispeech-stable", True, True),
        ("unispeech", True, False),
        ("unispeech-sat-stable", True, True),
        ("unispeech-sat", True, False),
        # Squeezing takes a padded frame in where the frames do not come out even.
        ("sew-layer", True, False),
        ("sew-d-layer", True, False),
        ("sew-d-c2p", True, False),
        ("sew-unsqueezed", True, True),
        # Their convolutions reach into the padding, in every block.
        ("conformer-rotary", True, False),
        ("conformer-no-positions", True, False),
        # Causal convolutions, and masked: these alone of the conformers do not.
        ("bert-relative-key", True, True),
        ("bert-relative", True, True),
        ("bert-rotary", True, True),
        ("bert-rotary", False, False),
        ("bert-adapter", True, False),
        ("bert-ffn-adapter", True, False),
    ],
)
def test_what_padding_is_safe_with(encoder: str, masked: bool, safe: bool) -> None:
    tried = checkpoint(encoder, masked=masked)
    assert padding_is_safe(tried, min_samples(tried)) is safe


def test_a_single_positional_convolution_is_safe() -> None:
    assert padding_is_safe(checkpoint("data2vec-audio", num_conv_pos_embeddings=1), MIN_SAMPLES)


def test_a_single_length_can_hide_an_adapter() -> None:
    """Where the frames come out even, a strided layer never meets the padding."""
    tried = checkpoint("wav2vec2-stable-adapter")
    module = EncoderGraph(tried.model, tried.features).eval()
    frame = audio_limits._frame_step(module)
    assert frame == tried.model.encoder.config.inputs_to_logits_ratio
    lengths = [8 * MIN_SAMPLES + 77 + more * frame for more in range(2)]
    assert sorted(audio_limits._is_safe(module, length) for length in lengths) == [False, True]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_depth_of_adapter_is_found(layers: int) -> None:
    assert not padding_is_safe(checkpoint("wav2vec2-stable-adapter", num_adapter_layers=layers), MIN_SAMPLES)
    assert not padding_is_safe(checkpoint("bert-adapter", num_adapter_layers=layers), 560)
