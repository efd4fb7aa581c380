"""Tracks of probabilities and their segments, for the C++ host to cut alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.cpp.golden_vectors import write_json

from s2t_runtime.errors import OptionError
from s2t_runtime.segmentation.options import FRAME, SegmentationOptions
from s2t_runtime.segmentation.segmenter import segment
from s2t_runtime.segmentation.speech import SpeechDetector

CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"max_segment_s": 3.0},
    {"max_segment_s": 0.25, "min_speech_duration_ms": 0.0},
    {"max_segment_s": 2.5, "max_gap_s": 0.0},
    {"max_gap_s": 10.0, "max_segment_s": 12.0},
    {"threshold": 0.7, "neg_threshold": 0.2},
    {"threshold": 0.1},
    {"min_speech_duration_ms": 0.0, "min_silence_duration_ms": 0.0, "speech_pad_ms": 0.0},
    {"min_silence_duration_ms": 700.0, "speech_pad_ms": 400.5, "max_segment_s": 4.0},
)
REFUSED: tuple[dict[str, Any], ...] = (
    {"threshold": 1.5},
    {"neg_threshold": 0.6},
    {"min_speech_duration_ms": -1.0},
    {"speech_pad_ms": 1e9},
    {"max_gap_s": 3600.5},
    {"max_segment_s": 0.1},
    {"max_segment_s": 20.0, "speech_pad_ms": 20000.0},
)


def track(seed: int, frames: int = 700) -> NDArray[np.float32]:
    """Speech and pauses of all lengths, with dips and bursts, on a grid, so that some are equal."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.random(frames) < 0.6, rng.integers(1, 90, frames))[:frames]
    noisy = np.where(level, 0.85, 0.1) + rng.normal(0, 0.2, frames)
    return (np.round(np.clip(noisy, 0, 1) * 64) / 64).astype(np.float32)


def write_segments(directory: Path) -> None:
    """Write segments.json: random tracks, how they are cut, and options that are refused."""
    cases, usual = [], SpeechDetector.LONGEST
    try:
        for seed in range(4):
            for changes in CHANGES:
                SpeechDetector.LONGEST = (usual, 150)[seed % 2]
                probabilities = track(seed)
                samples = len(probabilities) * FRAME - 37 * seed
                spans = segment(probabilities, samples, SegmentationOptions(**changes))
                cases.append(
                    {
                        "options": changes,
                        "longest": SpeechDetector.LONGEST,
                        "probabilities": probabilities.tolist(),
                        "samples": samples,
                        "segments": [[span.start, span.end] for span in spans],
                    }
                )
    finally:
        SpeechDetector.LONGEST = usual
    refused = [{"options": changes, "error": _refusal(changes)} for changes in REFUSED]
    write_json(directory / "segments.json", {"cases": cases, "refused": refused})


def _refusal(changes: dict[str, Any]) -> str:
    try:
        SegmentationOptions(**changes)
    except OptionError as error:
        return str(error)
    raise AssertionError(f"{changes} were taken")
