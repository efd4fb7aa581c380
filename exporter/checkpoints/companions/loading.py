"""Loads what a checkpoint's model comes with: its feature extractor and its tokenizer."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoFeatureExtractor,
    PreTrainedTokenizerBase,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
)

from exporter.checkpoints.companions.tokenizer import read_tokenizer
from exporter.checkpoints.sources.damage import damage
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, UnsupportedModelError, brief_error
from graphs import FeatureSettings, LogMelSettings, WaveformSettings
from graphs.encoder.log_mel import STACKED

_FILES = ("preprocessor_config.json", "processor_config.json")
Extractor = Wav2Vec2FeatureExtractor | SeamlessM4TFeatureExtractor


def load_extractor(files: CheckpointFiles) -> Extractor:
    """The feature extractor.

    Raises:
        CheckpointError: it cannot be read, or its sampling rate is no rate.
        UnsupportedModelError: of a kind, or with settings, that the encoder graph cannot take over.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(files.directory, trust_remote_code=False)
    except Exception as error:  # JSON of another form than wanted ends in any builtin error
        raise CheckpointError(
            f"{files.source}: the feature extractor cannot be read: {_damaged(files) or brief_error(error)}"
        ) from error
    if type(extractor) not in (Wav2Vec2FeatureExtractor, SeamlessM4TFeatureExtractor):
        raise UnsupportedModelError(
            files.source,
            [
                f"feature extractor {type(extractor).__name__} is not supported; supported: Wav2Vec2FeatureExtractor "
                "(raw samples) and SeamlessM4TFeatureExtractor (log-mel, for wav2vec2-bert), which are those of all "
                "encoders that SpeechEncoderDecoderModel can run"
            ],
        )
    reasons = _settings_reasons(extractor)
    if reasons:
        raise UnsupportedModelError(files.source, reasons)
    rate = extractor.sampling_rate
    if type(rate) is not int or rate < 1:
        raise CheckpointError(
            f"{files.source}: preprocessor_config.json has sampling_rate {rate!r}; wanted samples per second"
        )
    return extractor


def _damaged(files: CheckpointFiles) -> str | None:
    paths = [files.directory / name for name in _FILES]
    return next((what for path in paths if path.is_file() and (what := damage(path))), None)


def _settings_reasons(extractor: Any) -> list[str]:
    reasons = []
    if extractor.padding_side != "right":
        reasons.append(
            f"the feature extractor pads on the {extractor.padding_side}; only padding on the right is supported"
        )
    if not isinstance(extractor, SeamlessM4TFeatureExtractor):
        return reasons
    if extractor.stride != STACKED:
        reasons.append(
            f"the feature extractor has stride {extractor.stride!r}; only stride {STACKED}, that of every "
            "published wav2vec2-bert, is supported"
        )
    if type(extractor.feature_size) is not int or extractor.feature_size < 2:
        reasons.append(
            f"the feature extractor has feature_size {extractor.feature_size!r}, with which transformers pads the mel "
            f"bins as well as the frames: set it to num_mel_bins ({extractor.num_mel_bins})"
        )
    return reasons


def feature_settings(extractor: Extractor) -> FeatureSettings:
    """What the encoder graph does of the extractor's work."""
    if isinstance(extractor, SeamlessM4TFeatureExtractor):
        return LogMelSettings(
            sampling_rate=int(extractor.sampling_rate),
            mel_bins=int(extractor.num_mel_bins),
            padding_value=float(extractor.padding_value),
            masks_padding=bool(extractor.return_attention_mask),
        )
    return WaveformSettings(
        sampling_rate=int(extractor.sampling_rate),
        do_normalize=bool(extractor.do_normalize),
        padding_value=float(extractor.padding_value),
        masks_padding=bool(extractor.return_attention_mask),
    )


def load_tokenizer(files: CheckpointFiles) -> PreTrainedTokenizerBase:
    """The tokenizer, apart from the feature extractor, in the form of the tokenizers library.

    Raises:
        CheckpointError: it cannot be read, its class is unknown, or its vocabulary has not been read.
        UnsupportedModelError: it has no form for the tokenizers library.
    """
    return read_tokenizer(files)
