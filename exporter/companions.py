"""Loads what a checkpoint's model comes with: its feature extractor and its tokenizer."""

from __future__ import annotations

from transformers import (
    AutoFeatureExtractor,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Wav2Vec2FeatureExtractor,
)

from exporter.errors import CheckpointError, UnsupportedModelError, brief_error
from exporter.hub import CheckpointFiles
from graphs.features import WaveformSettings


def load_extractor(files: CheckpointFiles) -> Wav2Vec2FeatureExtractor:
    """The feature extractor.

    Raises:
        CheckpointError: it cannot be read, or its sampling rate is no rate.
        UnsupportedModelError: of a kind that the encoder graph cannot take over.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(files.directory, trust_remote_code=False)
    except Exception as error:  # JSON of another form than wanted ends in any builtin error
        raise CheckpointError(
            f"{files.source}: the feature extractor cannot be read: {brief_error(error)}"
        ) from error
    if type(extractor) is not Wav2Vec2FeatureExtractor:
        raise UnsupportedModelError(
            files.source,
            [
                f"feature extractor {type(extractor).__name__} is not supported yet; supported: "
                "Wav2Vec2FeatureExtractor (raw samples)"
            ],
        )
    if extractor.padding_side != "right":
        raise UnsupportedModelError(
            files.source,
            [
                f"the feature extractor pads on the {extractor.padding_side}; only padding on the right is supported"
            ],
        )
    rate = extractor.sampling_rate
    if type(rate) is not int or rate < 1:
        raise CheckpointError(
            f"{files.source}: preprocessor_config.json has sampling_rate {rate!r}; wanted samples per second"
        )
    return extractor


def feature_settings(extractor: Wav2Vec2FeatureExtractor) -> WaveformSettings:
    """What the encoder graph does of the extractor's work."""
    return WaveformSettings(
        sampling_rate=int(extractor.sampling_rate),
        do_normalize=bool(extractor.do_normalize),
        padding_value=float(extractor.padding_value),
        masks_padding=bool(extractor.return_attention_mask),
    )


def load_tokenizer(files: CheckpointFiles) -> PreTrainedTokenizerBase:
    """The tokenizer.

    Raises:
        CheckpointError: it cannot be read.
        UnsupportedModelError: it has no form for the tokenizers library.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.directory, trust_remote_code=False)
    except Exception as error:  # the Rust tokenizers library raises bare Exception on a malformed file
        raise CheckpointError(
            f"{files.source}: the tokenizer cannot be read: {brief_error(error)}"
        ) from error
    if not tokenizer.is_fast:
        raise UnsupportedModelError(
            files.source,
            [f"{type(tokenizer).__name__} has no tokenizer.json form, which bundles need for text"],
        )
    return tokenizer
