"""Segments from tracks of probabilities: Silero's own where nothing is divided or joined, and never too long."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from s2t_runtime.errors import OptionError
from s2t_runtime.segmentation.options import FRAME, SAMPLING_RATE, SegmentationOptions
from s2t_runtime.segmentation.segmenter import Segmenter, Span, segment
from s2t_runtime.segmentation.speech import SpeechDetector, least_likely

Track = NDArray[np.float32]
WHOLE: dict[str, Any] = {"max_segment_s": 3600.0, "max_gap_s": 0.0}
"""Nothing is divided, nothing is joined."""


def track(seed: int, frames: int = 1500) -> Track:
    """Speech and pauses of all lengths, with dips in the one and bursts in the other."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.random(frames) < 0.5, rng.integers(1, 60, frames))[:frames]
    noisy = np.where(level, 0.8, 0.1) + rng.normal(0, 0.25, frames)
    return np.clip(noisy, 0, 1).astype(np.float32)


def samples_of(frames: int, seed: int = 0) -> int:
    """A recording that ends within its last frame."""
    return frames * FRAME - seed % FRAME


@pytest.fixture(scope="module")
def silero() -> ModuleType:
    """Silero's own rules; its package sets torch's threads as it is imported, so the file alone is."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("silero-vad is not installed")
    path = f"{spec.submodule_search_locations[0]}/utils_vad.py"
    module_spec = importlib.util.spec_from_file_location("silero_rules", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"threshold": 0.7, "neg_threshold": 0.2},
    {"min_speech_duration_ms": 0, "min_silence_duration_ms": 0, "speech_pad_ms": 0},
    {"min_silence_duration_ms": 700, "speech_pad_ms": 400},
    {"min_speech_duration_ms": 1000, "speech_pad_ms": 101},
    {"threshold": 0.1},
)


@pytest.mark.parametrize("changes", CHANGES)
def test_the_rules_are_those_of_silero(silero: ModuleType, changes: dict[str, Any]) -> None:
    found = 0
    for seed in range(40):
        probabilities = track(seed)
        samples = samples_of(len(probabilities), seed)
        wanted = silero.get_speech_timestamps_from_probs(
            probabilities.tolist(), audio_length_samples=samples, **changes
        )
        got = segment(probabilities, samples, SegmentationOptions(**WHOLE, **changes))
        assert got == [Span(one["start"], one["end"]) for one in wanted], seed
        found += len(got)
    assert found > 100


@pytest.mark.parametrize("piece", [1, 7, 512])
def test_pieces_change_nothing(piece: int) -> None:
    for seed in range(12):
        probabilities, options = track(seed), SegmentationOptions(max_segment_s=3.0, max_gap_s=0.4)
        samples = samples_of(len(probabilities), seed)
        whole = segment(probabilities, samples, options)
        assert list(_pieces(probabilities, samples, options, piece)) == whole


def _pieces(probabilities: Track, samples: int, options: SegmentationOptions, piece: int) -> Iterator[Span]:
    segmenter, ended = Segmenter(options), 0
    for start in range(0, len(probabilities), piece):
        for span in segmenter.feed(probabilities[start : start + piece]):
            assert span.start >= ended
            ended = span.end
            yield span
        needed = segmenter.needed_from
        assert needed is None or ended <= needed <= (start + piece) * FRAME
    yield from segmenter.finish(samples)


@pytest.mark.parametrize("longest_s", [0.25, 1.0, 5.0, 20.0])
def test_no_segment_is_too_long_and_all_speech_is_in_one(longest_s: float) -> None:
    for seed in range(30):
        probabilities = track(seed) if seed % 3 else np.full(1500, 0.9, np.float32)
        options = SegmentationOptions(max_segment_s=longest_s, min_speech_duration_ms=0)
        samples = samples_of(len(probabilities), seed)
        spans = segment(probabilities, samples, options)
        assert all(0 < span.end - span.start <= longest_s * SAMPLING_RATE for span in spans)
        assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
        assert spans[0].start >= 0
        assert spans[-1].end <= samples
        inside = np.zeros(samples, bool)
        for span in spans:
            inside[span.start : span.end] = True
        for speech in SpeechDetector(options).feed(np.append(probabilities, np.zeros(9, np.float32))):
            assert inside[speech.first * FRAME : min(speech.end * FRAME, samples)].all()


def test_what_is_too_long_is_cut_where_it_is_least_likely() -> None:
    probabilities = np.full(400, 0.9, np.float32)
    probabilities[[150, 170, 260]] = (0.45, 0.4, 0.42)
    options = SegmentationOptions(max_segment_s=6.0, max_gap_s=0.0, speech_pad_ms=0)
    cuts = [span.start for span in segment(probabilities, 400 * FRAME, options)[1:]]
    # 400 frames of 187 at most: at 170, and the rest of 230 at 260.
    assert cuts == [170 * FRAME + 256, 260 * FRAME + 256]


def test_neighbours_are_joined_while_they_fit() -> None:
    probabilities = np.zeros(200, np.float32)
    for first, end in ((10, 30), (35, 60), (70, 80), (120, 130)):
        probabilities[first:end] = 0.9
    options = {"speech_pad_ms": 0, "min_silence_duration_ms": 0, "min_speech_duration_ms": 0}

    def frames(**changes: Any) -> list[tuple[float, float]]:
        spans = segment(probabilities, 200 * FRAME, SegmentationOptions(**options, **changes))
        return [(span.start / FRAME, span.end / FRAME) for span in spans]

    assert frames(max_gap_s=0.0) == [(10, 30), (35, 60), (70, 80), (120, 130)]
    assert frames(max_gap_s=0.2) == [(10, 60), (70, 80), (120, 130)]
    assert frames(max_gap_s=0.4) == [(10, 80), (120, 130)]
    assert frames(max_gap_s=0.4, max_segment_s=1.7) == [(10, 60), (70, 80), (120, 130)]
    assert frames(max_gap_s=5.0) == [(10, 130)]


def test_speech_without_end_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpeechDetector, "LONGEST", 100)
    options = SegmentationOptions(max_segment_s=1.0)
    probabilities = np.full(1000, 0.9, np.float32)
    probabilities[60::70] = 0.6
    segmenter, spans = Segmenter(options), []
    for start in range(0, 1000, 10):
        spans += segmenter.feed(probabilities[start : start + 10])
        needed = segmenter.needed_from
        assert needed is not None
        assert (start + 10) * FRAME - needed <= (100 + 10) * FRAME + SAMPLING_RATE
    spans += segmenter.finish(1000 * FRAME)
    assert spans == segment(probabilities, 1000 * FRAME, options)
    assert spans[0].start == 0
    assert spans[-1].end == 1000 * FRAME
    assert all(one.end == other.start for one, other in itertools.pairwise(spans))


def test_nothing_and_silence_have_no_segments() -> None:
    assert segment(np.zeros(0, np.float32), 0, SegmentationOptions()) == []
    assert segment(np.zeros(500, np.float32), 500 * FRAME, SegmentationOptions()) == []


def test_of_equals_the_middle_one_is_least_likely() -> None:
    flat = np.full(10, 0.5, np.float32)
    assert least_likely(flat, 0, 10) == 4
    assert least_likely(flat, 1, 10) == 5
    flat[[2, 8]] = 0.1
    assert least_likely(flat, 0, 10) == 2
    assert least_likely(flat, 3, 10) == 8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"threshold": 1.5}, "threshold is 1.5, wanted a number from 0 to 1"),
        ({"threshold": True}, "threshold is True, wanted a number from 0 to 1"),
        ({"neg_threshold": 0.6}, "neg_threshold is 0.6, wanted a number from 0 to 0.5"),
        ({"min_speech_duration_ms": -1}, "min_speech_duration_ms is -1, wanted a number from 0 to 60000"),
        (
            {"min_silence_duration_ms": float("nan")},
            "min_silence_duration_ms is nan, wanted a number from 0 to 60000",
        ),
        ({"speech_pad_ms": "30"}, "speech_pad_ms is '30', wanted a number from 0 to 60000"),
        ({"max_gap_s": float("inf")}, "max_gap_s is inf, wanted a number from 0 to 3600"),
        ({"max_segment_s": 0.1}, "max_segment_s is 0.1, wanted a number from 0.188 to 3600"),
    ],
)
def test_impossible_options(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        SegmentationOptions(**given)
    assert str(caught.value) == said
