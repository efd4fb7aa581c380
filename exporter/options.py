"""What an export can be told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from exporter.errors import ExportError

PRECISIONS = ("fp32", "fp16", "int8")
"""Precisions that this version writes."""
DEFAULT_MAX_AUDIO_S = 60.0
"""Attention memory grows with the square of the length: a minute needs about 0.6 GB at xls-r-300m's size."""

DEFAULT_BUDGET = 0.1
"""Natural logarithm: a tenth is a probability 10 % larger or smaller."""


@dataclass(frozen=True)
class ExportOptions:
    """Options of one export; the defaults are those of the command."""

    output: Path
    """The bundle's directory."""
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions to write; the first is the bundle's default."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    max_new_tokens: int | None = None
    """Default length limit stored in the bundle; None keeps the checkpoint's."""
    num_beams: int | None = None
    """Default beam count stored in the bundle; None keeps the checkpoint's."""
    max_audio_s: float = DEFAULT_MAX_AUDIO_S
    """Longest utterance the bundle accepts, in seconds."""
    languages: Path | None = None
    """JSON file {language code: token id or token text}; None: what checkpoint, model card and tokenizer say."""
    audio: tuple[Path, ...] = ()
    """Recordings to check with, besides the built-in probes; a lower precision's policy is searched with them too."""
    vocab_from: tuple[Path, ...] = ()
    """Texts like those that the model is to write: the decoder can then write their tokens only."""
    vocab_tokens: Path | None = None
    """The same as a list: a file with one token id a line, or a JSON list; with ``vocab_from`` both count."""
    budget: float = DEFAULT_BUDGET
    """Largest change of a log-probability that fp16 and int8 may cause; what breaks it stays in float32."""
    check: bool = True
    """Compare with eager PyTorch before the bundle is put in place."""
    force: bool = False
    """Replace an existing bundle."""
    ignored_generation_options: frozenset[str] = field(default_factory=frozenset)
    """Names of generation options to leave out although they are neither neutral nor supported."""
    ignored_weights: tuple[str, ...] = ()
    """Patterns (as for ``fnmatch``) of names of weights that the file may have beyond the model's."""
    tokenizer: str | None = None
    """A directory or hub id to take the tokenizer from; None: the checkpoint's own."""
    feature_extractor: str | None = None
    """A directory or hub id to take the feature extractor from; None: the checkpoint's own."""
    normalize: bool | None = None
    """Normalise samples to mean 0 and variance 1, whatever the feature extractor says; None does what it says."""

    def __post_init__(self) -> None:
        """Check the fields against each other.

        Raises:
            ExportError: an option is out of range.
        """
        require_precisions(self.precisions)
        if len(set(self.precisions)) < len(self.precisions):
            raise ExportError(f"precisions {', '.join(self.precisions)} name one twice: name each once")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ExportError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        if self.num_beams is not None and self.num_beams < 1:
            raise ExportError(f"num_beams is {self.num_beams}; it must be at least 1")
        if not 0 < self.max_audio_s < float("inf"):
            raise ExportError(f"max_audio_s is {self.max_audio_s}; it must be a positive number of seconds")
        _require_budget(self.budget)


@dataclass(frozen=True)
class AddOptions:
    """What to add to a bundle."""

    bundle: Path
    precision: str
    against: tuple[str, ...] = ()
    """The checkpoint, both halves of a pair, or a configuration; empty takes what the manifest names."""
    audio: tuple[Path, ...] = ()
    """Recordings to check with, besides the built-in probes."""
    budget: float = DEFAULT_BUDGET
    """Largest change of a log-probability that it may cause; what breaks it stays in float32."""
    check: bool = True
    """Compare with eager PyTorch before the manifest names it."""
    tokenizer: str | None = None
    """Where the tokenizer is, for a bundle whose own came from a local directory apart from the checkpoint."""
    feature_extractor: str | None = None
    """Where the feature extractor is, likewise."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ExportError: the precision is unknown, or the budget out of range.
        """
        require_precisions((self.precision,))
        _require_budget(self.budget)


def require_precisions(precisions: Collection[str]) -> None:
    """See that these can be written.

    Raises:
        ExportError: there is none, or one is unknown.
    """
    unknown = [precision for precision in precisions if precision not in PRECISIONS]
    if unknown or not precisions:
        raise ExportError(
            f"precision {', '.join(unknown) or '(none)'} is not available; this version writes "
            f"{', '.join(PRECISIONS)}"
        )


def _require_budget(budget: float) -> None:
    if not 0 < budget < float("inf"):
        raise ExportError(f"budget is {budget}; it must be a positive difference of log-probabilities")
