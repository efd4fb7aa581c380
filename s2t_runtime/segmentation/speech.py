"""Where speech is: hysteresis over a track of probabilities, as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.segmentation.options import FRAME, SAMPLING_RATE, SegmentationOptions

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """Frames [first, end) with speech in them, and their probabilities, float32 [end - first]."""

    first: int
    end: int
    probabilities: Probabilities


class SpeechDetector:
    """Finds speech in a track that is given piece by piece, with the rules of Silero's get_speech_timestamps.

    Speech begins at a frame that reaches the threshold, and ends before the first of frames that stay below the lower
    one for long enough; a frame in between belongs to what it is in. Speech that does not end for ``LONGEST`` frames is
    cut where it is least likely, so that no recording has to be held whole. How the track is cut into pieces changes
    nothing.
    """

    LONGEST = 32_768
    """17 minutes."""

    def __init__(self, options: SegmentationOptions) -> None:
        self._options = options
        self._silence = options.min_silence_duration_ms * SAMPLING_RATE / 1000
        self._least = options.min_speech_duration_ms * SAMPLING_RATE / 1000
        self._frames = 0
        self._first: int | None = None
        self._falls: int | None = None
        self._held = np.zeros(0, np.float32)
        """Probabilities from ``_first`` on, of earlier pieces."""

    @property
    def open_since(self) -> int | None:
        """The first frame of speech that has not ended; None: there is none."""
        return self._first

    def feed(self, probabilities: Probabilities) -> Iterator[Speech]:
        """Speech that ends within the next piece of the track, float32 [frames]."""
        track = np.concatenate([self._held, probabilities])
        begin = self._frames - len(self._held)  # frame of the track's first
        for place, probability in enumerate(probabilities.tolist(), len(self._held)):
            frame = begin + place
            if self._first is None:
                if probability >= self._options.threshold:
                    self._first, self._falls = frame, None
                continue
            if probability >= self._options.threshold:
                self._falls = None
            elif probability < self._options.falls_below:
                self._falls = frame if self._falls is None else self._falls
                if (frame - self._falls) * FRAME >= self._silence:
                    yield from self._ended(track[self._first - begin :], self._falls, self._falls * FRAME)
                    self._first = None
            if self._first is not None and frame + 1 - self._first >= self.LONGEST:
                inner = track[self._first - begin : place + 1]
                end = self._first + least_likely(inner, len(inner) // 2, len(inner) - 1)
                yield from self._ended(inner, end, end * FRAME)
                self._first = end
        self._frames = begin + len(track)
        self._held = np.zeros(0, np.float32) if self._first is None else track[self._first - begin :].copy()

    def finish(self, samples: int) -> Iterator[Speech]:
        """Speech that goes on to the end of a recording of so many samples."""
        if self._first is not None:
            yield from self._ended(self._held, self._frames, samples)
            self._first = None

    def _ended(self, held: Probabilities, end: int, end_sample: int) -> Iterator[Speech]:
        if self._first is not None and end_sample - self._first * FRAME > self._least:
            yield Speech(self._first, end, held[: end - self._first])


def least_likely(probabilities: Probabilities, begin: int, end: int) -> int:
    """The frame of [begin, end) with the smallest probability; of equals that nearest to the middle, then the first."""
    inner = probabilities[begin:end]
    places = np.flatnonzero(inner == inner.min()) + begin
    return int(places[np.argmin(np.abs(2 * places + 1 - (begin + end)))])
