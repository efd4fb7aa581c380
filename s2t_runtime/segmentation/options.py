"""How a recording is cut; the names and defaults are those of Silero's get_speech_timestamps, where it has them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from s2t_runtime.errors import OptionError

FRAME = 512
"""Samples that one probability stands for."""
SAMPLING_RATE = 16_000
"""Of the samples that the detector hears."""
_FRAME_MS = 1000 * FRAME / SAMPLING_RATE


@dataclass(frozen=True)
class SegmentationOptions:
    """When speech begins and ends, and how long a segment may be.

    Raises:
        OptionError: a value is no number, or out of its range.
    """

    threshold: float = 0.5
    """Speech begins where its probability reaches this."""
    neg_threshold: float | None = None
    """It may end where the probability falls below this; None: 0.15 below the threshold."""
    min_speech_duration_ms: float = 250.0
    """Speech that is no longer than this is none."""
    min_silence_duration_ms: float = 100.0
    """Silence that is shorter than this does not end it."""
    speech_pad_ms: float = 30.0
    """What is added on either side, at most half of the silence between two segments."""
    max_segment_s: float = 20.0
    """The longest segment: what is longer is cut at the least likely frame."""
    max_gap_s: float = 0.5
    """Neighbours no farther apart than this are joined, as long as that is no longer than the longest; 0: never."""

    def __post_init__(self) -> None:
        """Check each value."""
        _require("threshold", self.threshold, 0.0, 1.0)
        if self.neg_threshold is not None:
            _require("neg_threshold", self.neg_threshold, 0.0, self.threshold)
        for name in ("min_speech_duration_ms", "min_silence_duration_ms", "speech_pad_ms"):
            _require(name, getattr(self, name), 0.0, 60_000.0)
        _require("max_gap_s", self.max_gap_s, 0.0, 3600.0)
        # One frame to cut at between two, and the padding of both ends.
        shortest = (4 * _FRAME_MS + 2 * self.speech_pad_ms) / 1000
        _require("max_segment_s", self.max_segment_s, shortest, 3600.0)

    @property
    def falls_below(self) -> float:
        """Where speech may end."""
        return max(self.threshold - 0.15, 0.01) if self.neg_threshold is None else self.neg_threshold


def _require(name: str, value: object, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= float(value) <= most:  # type: ignore[arg-type]
        raise OptionError(f"{name} is {value!r}, wanted a number from {least:g} to {most:g}")
