"""How short audio may be, and whether padding changes what an utterance gives."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_models
import torch
from tiny_encoders import MIN_SAMPLES
from transformers import Wav2Vec2FeatureExtractor

from exporter import audio_limits
from exporter.audio_limits import min_samples, padding_is_safe
from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.hub import CheckpointFiles

# The convolutions of every published wav2vec2, hubert and wavlm, a few channels wide.
REAL_CONVOLUTIONS = {
    "conv_dim": (4,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
}


def checkpoint(encoder: str, *, masked: bool = True, rate: int = 16_000, **changes: Any) -> Checkpoint:
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=masked, sampling_rate=rate)
    model = tiny_models.tiny_model(encoder, "mbart", hidden=24, **changes)
    return Checkpoint(CheckpointFiles("tiny", None, "tiny", None, None), model, None, extractor)


@pytest.mark.parametrize("encoder", ["wav2vec2-group", "wav2vec2-stable-adapter", "hubert", "wavlm"])
def test_the_real_convolutions_need_400_samples(encoder: str) -> None:
    real = checkpoint(encoder, **REAL_CONVOLUTIONS)
    assert min_samples(real) == 400
    with torch.no_grad():
        assert real.model.encoder(torch.randn(1, 400)).last_hidden_state.shape[1] == 1
        with pytest.raises(RuntimeError):
            real.model.encoder(torch.randn(1, 399))


def test_the_tiny_convolutions_need_40_samples() -> None:
    assert min_samples(checkpoint("wav2vec2-layer")) == MIN_SAMPLES


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
    ],
)
def test_padding_is_safe_with_layer_norm_and_mask_and_without_adapter(
    encoder: str, masked: bool, safe: bool
) -> None:
    assert padding_is_safe(checkpoint(encoder, masked=masked), MIN_SAMPLES) is safe


def test_a_single_length_can_hide_an_adapter() -> None:
    """Where the frames come out even, a strided layer never meets the padding."""
    tried = checkpoint("wav2vec2-stable-adapter")
    frame = tried.model.encoder.config.inputs_to_logits_ratio
    lengths = [8 * MIN_SAMPLES + 77 + more * frame for more in range(2)]
    assert sorted(audio_limits._is_safe(tried, length) for length in lengths) == [False, True]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_depth_of_adapter_is_found(layers: int) -> None:
    assert not padding_is_safe(checkpoint("wav2vec2-stable-adapter", num_adapter_layers=layers), MIN_SAMPLES)
