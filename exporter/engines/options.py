"""What a TensorRT build can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from exporter.errors import ExportError
from s2t_runtime.bundles.engine_record import FLAVOURS
from s2t_runtime.sessions.profiles.table import DEFAULT_MAX_BATCH, DEFAULT_MAX_BEAMS, DEFAULT_MAX_PROMPT

DEFAULT_TARGETS: Final = ("sm86", "sm89", "sm120")
PORTABLE: Final = "portable"
DEFAULT_PRECISION: Final = "fp16"
_SPAN: Final = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*):(?P<min>\d+(?:\.\d+)?)-(?P<max>\d+(?:\.\d+)?)s", re.ASCII
)


@dataclass(frozen=True)
class AudioSpan:
    """Lengths of audio that one profile serves, in seconds, both ends included."""

    name: str
    min_s: float
    max_s: float


@dataclass(frozen=True)
class EngineOptions:
    """Options of one build; the defaults are those of compile-s2t."""

    flavour: str | None = None
    """"tensorrt" or "tensorrt-rtx"; None: what is installed."""
    precision: str = DEFAULT_PRECISION
    """Of the graphs to build from."""
    targets: tuple[str, ...] | None = None
    """Compute capabilities of TensorRT-RTX; () is its portable plan, None its default, DEFAULT_TARGETS.

    Full TensorRT builds for the GPU of this machine and takes None alone.
    """
    max_audio_s: float | None = None
    """Longest utterance; None: DEFAULT_MAX_AUDIO_S, or what the bundle takes where that is less."""
    max_batch: int = DEFAULT_MAX_BATCH
    """Most utterances at once."""
    max_beams: int = DEFAULT_MAX_BEAMS
    """Most sequences per utterance."""
    max_length: int | None = None
    """Most tokens of a sequence; None: DEFAULT_MAX_LENGTH, or what the decoder takes where that is less."""
    max_prompt: int = DEFAULT_MAX_PROMPT
    """Most tokens fed at once."""
    spans: tuple[AudioSpan, ...] = ()
    """One profile for each; empty: one profile for all lengths."""
    first_step: bool = False
    """Build decoder_first_step too, which decoder_with_past otherwise does."""
    force: bool = False
    """Build again what is there and matches."""

    def __post_init__(self) -> None:
        """Check the fields, as far as that needs no bundle.

        Raises:
            ExportError: an option is out of range or contradicts another.
        """
        if self.flavour not in (None, *FLAVOURS):
            raise ExportError(f"flavour {self.flavour!r} is unknown: choose one of {', '.join(FLAVOURS)}")
        if self.flavour == "tensorrt" and self.targets is not None:
            raise ExportError(
                "full TensorRT builds for the GPU of this machine and takes no targets: leave out --targets, or "
                "take --flavour tensorrt-rtx"
            )
        for name in ("max_batch", "max_beams", "max_length", "max_prompt"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ExportError(f"{name} is {value}; it must be at least 1")
        if self.max_audio_s is not None and not 0 < self.max_audio_s < float("inf"):
            raise ExportError(f"max_audio_s is {self.max_audio_s}; it must be a positive number of seconds")
        if self.spans and self.max_audio_s is not None:
            raise ExportError(
                "profiles say how long audio may be, and so does max_audio_s: give --profile or --max-audio-seconds"
            )
        names = [span.name for span in self.spans]
        if len(set(names)) < len(names):
            raise ExportError(f"profiles {', '.join(names)} name one twice: give each a name of its own")


def parse_targets(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Targets as they are typed; () for "portable", None where nothing was typed.

    The order says nothing, so it is taken out: lists that differ in it share their engines.

    Raises:
        ExportError: a name that no GPU has, one given twice, or "portable" beside others.
    """
    if not names:
        return None
    if names == (PORTABLE,):
        return ()
    wrong = [name for name in names if not re.fullmatch(r"sm\d{2,3}", name, re.ASCII)]
    if wrong:
        raise ExportError(
            f"target {', '.join(wrong)} is none: name compute capabilities like sm86,sm89, or {PORTABLE} alone"
        )
    if len(set(names)) < len(names):
        raise ExportError(f"targets {', '.join(names)} name one twice: name each once")
    return tuple(sorted(names, key=lambda name: int(name.removeprefix("sm"))))


def parse_spans(texts: tuple[str, ...]) -> tuple[AudioSpan, ...]:
    """Profiles as they are typed: ``short:1-5s``.

    Raises:
        ExportError: another form, or a span that ends before it begins.
    """
    spans = []
    for text in texts:
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ExportError(
                f"profile {text!r} is not NAME:MIN-MAXs: write for example short:1-5s,long:5-30s"
            )
        span = AudioSpan(found["name"], float(found["min"]), float(found["max"]))
        if span.min_s > span.max_s:
            raise ExportError(f"profile {text!r} ends before it begins: write the shorter length first")
        spans.append(span)
    return tuple(spans)
