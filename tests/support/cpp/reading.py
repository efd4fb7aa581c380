"""Reads golden vectors, which ``golden_vectors`` wrote: no torch is needed for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile
from support.digits.scale import Waveform


def read_cases(vectors: Path) -> list[dict[str, Any]]:
    """What was asked, and what eager answered."""
    cases: list[dict[str, Any]] = json.loads((vectors / "golden.json").read_text(encoding="utf-8"))["cases"]
    return cases


def read_audio(directory: Path, names: Sequence[str]) -> list[Waveform]:
    """The audio of a case."""
    return [soundfile.read(directory / "audio" / f"{name}.wav", dtype="float32")[0] for name in names]
