"""What the loading of a checkpoint can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadOptions:
    """Options of one loading; the defaults take a checkpoint as it is."""

    ignored_generation_options: frozenset[str] | None = None
    """Refuse generation options that are neither neutral nor supported, but for these; None does not look at them."""
    ignored_weights: tuple[str, ...] = ()
    """Patterns (as for ``fnmatch``) of names of weights that the file may have beyond the model's."""
    tokenizer: str | None = None
    """A directory or hub id to take the tokenizer from, in place of the checkpoint's own."""
    tokenizer_revision: str | None = None
    """Of a hub id."""
    feature_extractor: str | None = None
    """A directory or hub id to take the feature extractor from, in place of the checkpoint's own."""
    feature_extractor_revision: str | None = None
    """Of a hub id."""
    normalize: bool | None = None
    """Whether samples are normalised to mean 0 and variance 1; None does what the feature extractor says."""
