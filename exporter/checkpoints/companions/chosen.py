"""The companions that go with a model: its own, or those that a user names in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase, SeamlessM4TFeatureExtractor

from exporter.checkpoints.companions.loading import load_extractor, load_tokenizer
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.sources.files import CheckpointFiles, OnStage, locate_checkpoint
from exporter.errors import UnsupportedModelError


@dataclass(frozen=True)
class CompanionFiles:
    """Where tokenizer and feature extractor are."""

    tokenizer: CheckpointFiles
    extractor: CheckpointFiles
    named: Mapping[str, CheckpointFiles]
    """Role (``tokenizer``, ``feature_extractor``) -> files, of those that the user named."""


def companion_files(
    tokenizer: CheckpointFiles, extractor: CheckpointFiles, options: LoadOptions, *, on_stage: OnStage
) -> CompanionFiles:
    """The model's own files, or those that the options name.

    Raises:
        CheckpointError: a named one is neither a directory nor on the hub.
    """
    named: dict[str, CheckpointFiles] = {}
    if options.tokenizer is not None:
        named["tokenizer"] = locate_checkpoint(
            options.tokenizer, options.tokenizer_revision, on_stage=on_stage
        )
    if options.feature_extractor is not None:
        named["feature_extractor"] = locate_checkpoint(
            options.feature_extractor, options.feature_extractor_revision, on_stage=on_stage
        )
    return CompanionFiles(named.get("tokenizer", tokenizer), named.get("feature_extractor", extractor), named)


def load_companions(found: CompanionFiles, options: LoadOptions) -> tuple[PreTrainedTokenizerBase, Any]:
    """The tokenizer and the feature extractor, which normalises as the options say.

    Raises:
        CheckpointError: one cannot be read.
        UnsupportedModelError: one is of a kind that no bundle can hold.
    """
    return load_tokenizer(found.tokenizer), adjusted(
        load_extractor(found.extractor), found.extractor, options
    )


def adjusted(extractor: Any, files: CheckpointFiles, options: LoadOptions) -> Any:
    """The feature extractor, which normalises as the options say.

    Raises:
        UnsupportedModelError: it takes no raw samples, so there is nothing to switch.
    """
    if options.normalize is None:
        return extractor
    if isinstance(extractor, SeamlessM4TFeatureExtractor):
        raise UnsupportedModelError(
            files.source,
            [
                "--normalize and --no-normalize go with encoders that take raw samples; this one takes log-mel "
                "features, which are normalised in a way of their own: leave the option out"
            ],
        )
    extractor.do_normalize = options.normalize
    return extractor
