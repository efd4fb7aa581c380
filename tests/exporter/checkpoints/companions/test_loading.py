"""Feature extractors: which are taken over by the encoder graph, and with which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from exporter.checkpoints.companions.loading import feature_settings, load_extractor
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import UnsupportedModelError
from graphs import FeatureSettings, LogMelSettings, WaveformSettings


def files(directory: Path) -> CheckpointFiles:
    return CheckpointFiles("tiny", directory, "tiny", None, None)


@pytest.mark.parametrize(
    ("extractor", "settings"),
    [
        (
            Wav2Vec2FeatureExtractor(do_normalize=False, padding_value=0.5, return_attention_mask=True),
            WaveformSettings(16_000, do_normalize=False, padding_value=0.5, masks_padding=True),
        ),
        (
            # As facebook/w2v-bert-2.0 has it.
            SeamlessM4TFeatureExtractor(padding_value=1.0),
            LogMelSettings(16_000, mel_bins=80, padding_value=1.0, masks_padding=True),
        ),
        (
            SeamlessM4TFeatureExtractor(
                sampling_rate=8000, num_mel_bins=40, feature_size=40, return_attention_mask=False
            ),
            LogMelSettings(8000, mel_bins=40, padding_value=0.0, masks_padding=False),
        ),
    ],
)
def test_settings_of_what_is_supported(tmp_path: Path, extractor: Any, settings: FeatureSettings) -> None:
    extractor.save_pretrained(tmp_path)
    loaded = load_extractor(files(tmp_path))
    assert type(loaded) is type(extractor)
    assert feature_settings(loaded) == settings


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        (
            {"stride": 1},
            [
                "the feature extractor has stride 1; only stride 2, that of every published wav2vec2-bert, is supported"
            ],
        ),
        (
            {"feature_size": 1},
            [
                "the feature extractor has feature_size 1, with which transformers pads the mel bins as well as the "
                "frames: set it to num_mel_bins (80)"
            ],
        ),
        (
            {"padding_side": "left", "stride": 3},
            [
                "the feature extractor pads on the left; only padding on the right is supported",
                "the feature extractor has stride 3; only stride 2, that of every published wav2vec2-bert, is "
                "supported",
            ],
        ),
    ],
)
def test_settings_that_are_not_supported(
    tmp_path: Path, settings: dict[str, Any], reasons: list[str]
) -> None:
    SeamlessM4TFeatureExtractor(**settings).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError) as caught:
        load_extractor(files(tmp_path))
    assert list(caught.value.reasons) == reasons
