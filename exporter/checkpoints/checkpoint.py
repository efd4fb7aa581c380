"""Loads a saved checkpoint completely, or says everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, SpeechEncoderDecoderModel

from exporter.checkpoints.companions.loading import feature_settings, load_extractor, load_tokenizer
from exporter.checkpoints.configuration import read_config
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import CheckpointFiles, OnStage, fetch_weights
from exporter.checkpoints.sources.weight_files import WEIGHT_FILES
from exporter.checkpoints.weights import load_weights
from exporter.errors import CheckpointError

TOKENIZER_FILES = (
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)
EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")
READING = "read configuration"
LOADING = "load checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that an export reads: the model in evaluation mode (float32), and its two companions."""

    files: CheckpointFiles
    """What messages call it; the tokenizer and the languages are found by these files."""
    model: Any
    """A SpeechEncoderDecoderModel; transformers annotates its attributes too loosely to check them."""
    tokenizer: PreTrainedTokenizerBase
    extractor: Any
    origin: Origin

    @property
    def features(self) -> Any:
        """What the encoder graph does of the extractor's work."""
        return feature_settings(self.extractor)


def load_checkpoint(
    files: CheckpointFiles,
    *,
    ignored_generation_options: Collection[str] | None = None,
    on_stage: OnStage = lambda _: None,
) -> Checkpoint:
    """Load model, tokenizer and feature extractor.

    Args:
        files: where they are; the weights of a hub id are fetched once all else has been looked at.
        ignored_generation_options: refuse generation options that are neither neutral nor supported,
            but for these; None does not look at them.
        on_stage: told of the download and of the loading as they start.

    Raises:
        CheckpointError: a file is missing or unreadable, or weights are missing, unexpected or mis-shaped.
        UnsupportedModelError: the model cannot be split into the three graphs; every reason is listed.
    """
    on_stage(READING)
    read_config(files, ignored_generation_options)
    require_files(files, weights=files.revision is None, tokenizer=True, extractor=True)
    extractor = load_extractor(files)
    tokenizer = load_tokenizer(files)
    fetch_weights(files, on_stage=on_stage)
    on_stage(LOADING)
    model, _ = load_weights(SpeechEncoderDecoderModel, files)
    return Checkpoint(files, model, tokenizer, extractor, Origin("checkpoint", {"checkpoint": files}))


def has_tokenizer(directory: Path) -> bool:
    """Whether there is a file that a tokenizer can be made from."""
    return any((directory / name).is_file() for name in TOKENIZER_FILES)


def has_extractor(directory: Path) -> bool:
    """Whether there is a file that a feature extractor can be made from."""
    return any((directory / name).is_file() for name in EXTRACTOR_FILES)


def require_files(files: CheckpointFiles, *, weights: bool, tokenizer: bool, extractor: bool) -> None:
    """See that the files of the kinds asked for are there, all problems in one error.

    Raises:
        CheckpointError: some are missing.
    """
    directory, problems = files.directory, []
    if weights and not any((directory / name).is_file() for name in WEIGHT_FILES):
        problems.append(f"no weights ({' or '.join(WEIGHT_FILES)})")
    if tokenizer and not has_tokenizer(directory):
        problems.append(
            f"no tokenizer ({', '.join(TOKENIZER_FILES[:-1])} or {TOKENIZER_FILES[-1]}): save it there "
            "with tokenizer.save_pretrained()"
        )
    if extractor and not has_extractor(directory):
        problems.append(
            f"no feature extractor ({EXTRACTOR_FILES[0]}): save it there with feature_extractor.save_pretrained()"
        )
    if problems:
        raise CheckpointError(f"{files.source} is incomplete: " + "; ".join(problems))
