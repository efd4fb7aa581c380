"""Loads a checkpoint completely, or says everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2FeatureExtractor,
)

from exporter.companions import feature_settings, load_extractor, load_tokenizer
from exporter.errors import CheckpointError, UnsupportedModelError, brief_error
from exporter.generation_defaults import unsupported_options
from exporter.hub import CheckpointFiles
from graphs.features import WaveformSettings
from graphs.support import reasons_against

TOKENIZER_FILES = (
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
)
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that an export reads: the model in evaluation mode (float32), and its two companions."""

    files: CheckpointFiles
    model: Any
    """A SpeechEncoderDecoderModel; transformers annotates its attributes too loosely to check them."""
    tokenizer: PreTrainedTokenizerBase
    extractor: Wav2Vec2FeatureExtractor

    @property
    def features(self) -> WaveformSettings:
        """What the encoder graph does of the extractor's work."""
        return feature_settings(self.extractor)


def read_config(files: CheckpointFiles) -> SpeechEncoderDecoderConfig:
    """Read config.json, and refuse what is not a speech encoder-decoder.

    Raises:
        CheckpointError: config.json is missing or unreadable.
        UnsupportedModelError: another model class.
    """
    path = files.directory / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{files.source} has no config.json: give a directory written by save_pretrained()"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    model_type = raw.get("model_type") if isinstance(raw, dict) else None
    if model_type != "speech-encoder-decoder":
        raise UnsupportedModelError(
            files.source,
            [
                f"config.json has model_type {model_type!r}; export-s2t takes 'speech-encoder-decoder' "
                "(SpeechEncoderDecoderModel)"
            ],
        )
    absent = [part for part in ("encoder", "decoder") if not isinstance(raw.get(part), dict)]
    if absent:
        # transformers would put default configurations in their place.
        raise CheckpointError(f"{path} describes no {' and no '.join(absent)}: save the model again")
    try:
        return SpeechEncoderDecoderConfig.from_pretrained(files.directory)
    except Exception as error:  # transformers' strict configurations raise types of their own
        raise CheckpointError(f"{path} cannot be read by transformers: {brief_error(error)}") from error


def load_checkpoint(
    files: CheckpointFiles, *, ignored_generation_options: Collection[str] | None = None
) -> Checkpoint:
    """Load model, tokenizer and feature extractor.

    Args:
        files: where they are.
        ignored_generation_options: refuse generation options that are neither neutral nor supported,
            but for these; None does not look at them.

    Raises:
        CheckpointError: a file is missing or unreadable, or weights are missing, unexpected or mis-shaped.
        UnsupportedModelError: the model cannot be split into the three graphs; every reason is listed.
    """
    config = read_config(files)
    generation_config = _read_generation_config(files, config)
    reasons = reasons_against(config)
    if ignored_generation_options is not None:
        reasons += unsupported_options(generation_config, ignored_generation_options)
    # All that the small files tell, before gigabytes of weights are read.
    if reasons:
        raise UnsupportedModelError(files.source, reasons)
    missing = _missing_files(files.directory)
    if missing:
        raise CheckpointError(f"{files.source} is incomplete: " + "; ".join(missing))
    extractor = load_extractor(files)
    return Checkpoint(files, _load_model(files), load_tokenizer(files), extractor)


def _missing_files(directory: Path) -> list[str]:
    problems = []
    if not any((directory / name).is_file() for name in WEIGHT_FILES):
        problems.append(f"no weights ({' or '.join(WEIGHT_FILES)})")
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        problems.append(
            f"no tokenizer ({', '.join(TOKENIZER_FILES[:-1])} or {TOKENIZER_FILES[-1]}): save it there "
            "with tokenizer.save_pretrained()"
        )
    if not any(
        (directory / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")
    ):
        problems.append(
            "no feature extractor (preprocessor_config.json): save it there with "
            "feature_extractor.save_pretrained()"
        )
    return problems


def _read_generation_config(files: CheckpointFiles, config: SpeechEncoderDecoderConfig) -> GenerationConfig:
    """As from_pretrained will find it, but a malformed file is refused instead of passed over in silence."""
    path = files.directory / "generation_config.json"
    if not path.is_file():
        return GenerationConfig.from_model_config(config)
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(options, dict):
        raise CheckpointError(f"{path} holds no JSON object: remove it or save the model again")
    try:
        return GenerationConfig.from_pretrained(files.directory)
    except Exception as error:  # a value of another type than wanted ends in any builtin error
        raise CheckpointError(f"{path} cannot be read by transformers: {brief_error(error)}") from error


def _load_model(files: CheckpointFiles) -> Any:
    try:
        loaded: Any = SpeechEncoderDecoderModel.from_pretrained(
            files.directory,
            output_loading_info=True,
            dtype=torch.float32,
            trust_remote_code=False,
            weights_only=True,
            # Mis-shaped weights are listed with the missing and unexpected ones, by name.
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # safetensors, pickle and transformers each raise types of their own
        raise CheckpointError(
            f"{files.source}: the weights cannot be loaded: {brief_error(error)}"
        ) from error
    model, info = loaded
    problems = _weight_problems(info)
    if problems:
        raise CheckpointError(
            f"{files.source}: the weights do not fit the configuration, and transformers would fill the gaps "
            "with random numbers: " + "; ".join(problems)
        )
    return model.eval()


def _weight_problems(info: dict[str, Any]) -> list[str]:
    mismatched = sorted(
        f"{name} (file {list(in_file)}, model {list(in_model)})"
        for name, in_file, in_model in info["mismatched_keys"]
    )
    found = {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "mis-shaped": mismatched,
    }
    return [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in found.items() if names]
