"""From probabilities to segments: speech, cut where it is too long, joined where it is short, padded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.segmentation.options import FRAME, SAMPLING_RATE, SegmentationOptions
from s2t_runtime.segmentation.speech import Speech, SpeechDetector, least_likely


@dataclass(frozen=True)
class Span:
    """Samples [start, end) of the recording that the detector heard, at 16 kHz."""

    start: int
    end: int


class Segmenter:
    """Cuts a recording whose probabilities come piece by piece; each segment is given as soon as nothing can change it.

    Speech that is longer than a segment may be is divided at its least likely frame, again and again, until every part
    is short enough: pDAC of Tsiamas, Gallego, Fonollosa and Costa-jussa, "SHAS: Approaching optimal Segmentation for
    End-to-End Speech Translation" (Interspeech 2022, arXiv 2202.04774), without its trimming, since what is divided is
    speech throughout. Neighbours are then joined from the left while the gap and the whole are short enough, and padded
    as Silero's get_speech_timestamps does it.
    """

    def __init__(self, options: SegmentationOptions) -> None:
        self._options = options
        self._detector = SpeechDetector(options)
        self._pad = int(options.speech_pad_ms * SAMPLING_RATE / 1000)
        self._longest = int(options.max_segment_s * SAMPLING_RATE)
        self._gap = int(options.max_gap_s * SAMPLING_RATE)
        self._joined: Span | None = None
        """The segment that the next speech may still join, or share the silence behind it with."""
        self._start = 0
        """Where it begins with its padding."""

    @property
    def needed_from(self) -> int | None:
        """The first sample that a later segment may hold; None: what comes next."""
        starts = [] if self._joined is None else [self._start]
        if self._detector.open_since is not None:
            starts.append(max(self._detector.open_since * FRAME - self._pad, 0))
        return min(starts, default=None)

    def feed(self, probabilities: NDArray[np.float32]) -> Iterator[Span]:
        """Segments that the next piece of the track, float32 [frames], completes."""
        for speech in self._detector.feed(probabilities):
            for part in self._parts(speech, speech.end * FRAME):
                yield from self._next(part)

    def finish(self, samples: int) -> Iterator[Span]:
        """The rest, of a recording of so many samples."""
        for speech in self._detector.finish(samples):
            for part in self._parts(speech, samples):
                yield from self._next(part)
        if self._joined is not None:
            yield Span(self._start, min(self._joined.end + self._pad, samples))
            self._joined = None

    def _parts(self, speech: Speech, end: int) -> list[Span]:
        """Parts that are short enough with their padding; a cut lies in the middle of a frame."""
        most = (self._longest - 2 * self._pad) // FRAME - 1  # with half a frame at either end
        least = max(int(self._options.min_speech_duration_ms * SAMPLING_RATE / 1000 / FRAME), 1)
        cuts, todo = [], [(0, speech.end - speech.first)]
        while todo:
            begin, stop = todo.pop()
            if stop - begin > most:
                margin = min(least, (stop - begin - 1) // 2)
                cut = least_likely(speech.probabilities, begin + margin, stop - margin)
                cuts.append(cut)
                todo += [(begin, cut), (cut, stop)]
        inner = [(speech.first + cut) * FRAME + FRAME // 2 for cut in sorted(cuts)]
        edges = [speech.first * FRAME, *inner, end]
        return [Span(one, other) for one, other in itertools.pairwise(edges)]

    def _next(self, part: Span) -> Iterator[Span]:
        last = self._joined
        if last is None:
            self._joined, self._start = part, max(part.start - self._pad, 0)
            return
        silence = part.start - last.end
        if silence <= self._gap and self._gap and part.end + self._pad - self._start <= self._longest:
            self._joined = Span(last.start, part.end)
            return
        pad = self._pad if silence >= 2 * self._pad else silence // 2
        yield Span(self._start, last.end + pad)
        self._joined, self._start = part, max(part.start - pad, 0)


def segment(probabilities: NDArray[np.float32], samples: int, options: SegmentationOptions) -> list[Span]:
    """The segments of a whole recording.

    Args:
        probabilities: of speech, float32 [frames], one for every 512 samples that the recording has or begins.
        samples: that it has, at 16 kHz.
        options: how it is cut.
    """
    segmenter = Segmenter(options)
    return [*segmenter.feed(probabilities), *segmenter.finish(samples)]
