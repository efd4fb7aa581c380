"""Loads a saved checkpoint completely, or says everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, SpeechEncoderDecoderModel

from exporter.checkpoints.companions.chosen import companion_files, load_companions
from exporter.checkpoints.companions.loading import feature_settings
from exporter.checkpoints.configuration import read_config, read_generation_config
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import CheckpointFiles, OnStage, fetch_weights
from exporter.checkpoints.weights.blank import blank_model
from exporter.checkpoints.weights.files import missing_weights
from exporter.checkpoints.weights.load import Fit, load_weights
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
_AS_IT_IS = LoadOptions()


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
    files: CheckpointFiles, options: LoadOptions = _AS_IT_IS, *, on_stage: OnStage = lambda _: None
) -> Checkpoint:
    """Load model, tokenizer and feature extractor.

    Args:
        files: where they are; the weights of a hub id are fetched once all else has been looked at.
        options: what is to be taken in another way than it is stored.
        on_stage: told of the download and of the loading as they start.

    Raises:
        CheckpointError: a file is missing or unreadable, or weights are missing, unexpected or mis-shaped.
        UnsupportedModelError: the model cannot be split into the three graphs; every reason is listed.
    """
    on_stage(READING)
    config = read_config(files, options.ignored_generation_options)
    companions = companion_files(files, files, options, on_stage=on_stage)
    own = companions.named
    require_files(
        files,
        weights=files.revision is None,
        tokenizer="tokenizer" not in own,
        extractor="feature_extractor" not in own,
    )
    tokenizer, extractor = load_companions(companions, options)
    blank_model(SpeechEncoderDecoderModel, files, config)  # or a sentence, before gigabytes are fetched
    fetch_weights(files, on_stage=on_stage)
    on_stage(LOADING)
    fit = Fit(ignored=options.ignored_weights)
    model, record = load_weights(SpeechEncoderDecoderModel, files, config, fit)
    model.generation_config = read_generation_config(files)
    origin = Origin(
        "checkpoint", {"checkpoint": files}, companions=companions.named, weights={"checkpoint": record}
    )
    return Checkpoint(files, model, tokenizer, extractor, origin)


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
    absent = missing_weights(directory) if weights else None
    if absent is not None:
        problems.append(absent)
    if tokenizer and not has_tokenizer(directory):
        problems.append(
            f"no tokenizer ({', '.join(TOKENIZER_FILES[:-1])} or {TOKENIZER_FILES[-1]}): save it there "
            "with tokenizer.save_pretrained(), or name where it is with --tokenizer"
        )
    if extractor and not has_extractor(directory):
        problems.append(
            f"no feature extractor ({EXTRACTOR_FILES[0]}): save it there with feature_extractor.save_pretrained(), or "
            "name where it is with --feature-extractor"
        )
    if problems:
        raise CheckpointError(f"{files.source} is incomplete: " + "; ".join(problems))
