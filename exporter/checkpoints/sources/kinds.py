"""What an export can start from: a saved checkpoint, a pair of pretrained parts, or a configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FETCH_CONFIGURATION = "fetch configuration"
FETCH_WEIGHTS = "fetch weights"
FETCH_STAGES = (FETCH_CONFIGURATION, FETCH_WEIGHTS)
"""Stages during which the hub's library draws bars of its own."""
DEFAULT_SEED = 0


@dataclass(frozen=True)
class CheckpointSource:
    """A saved SpeechEncoderDecoderModel with its tokenizer and feature extractor."""

    name: str
    """A directory in Hugging Face layout, or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""

    @property
    def bundle_name(self) -> str:
        """What the bundle is called where nobody says."""
        return _last_part(self.name)


@dataclass(frozen=True)
class PairSource:
    """A pretrained speech encoder and a pretrained text decoder, joined by untrained cross-attention."""

    encoder: str
    """A directory, or a hub id; the feature extractor comes from it."""
    decoder: str
    """A directory, or a hub id; the tokenizer and the generation options come from it."""
    encoder_revision: str | None = None
    decoder_revision: str | None = None
    seed: int = DEFAULT_SEED
    """Of the weights that neither part has."""

    @property
    def bundle_name(self) -> str:
        """What the bundle is called where nobody says."""
        return f"{_last_part(self.encoder)}-{_last_part(self.decoder)}"


@dataclass(frozen=True)
class RandomWeightsSource:
    """A configuration without its weights, to measure latency and memory before a download or a training run."""

    name: str
    """A directory with config.json, or a hub id; tokenizer and feature extractor are used where there are any."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    seed: int = DEFAULT_SEED

    @property
    def bundle_name(self) -> str:
        """What the bundle is called where nobody says."""
        return f"{_last_part(self.name)}-random-weights"


Source = CheckpointSource | PairSource | RandomWeightsSource


def _last_part(name: str) -> str:
    return Path(name).resolve().name
