"""Seeded stand-ins for speech, so that every export can be checked without recordings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def probe_utterance(duration_s: float, sampling_rate: int, seed: int) -> NDArray[np.float32]:
    """A voiced, syllable-like signal: float32 [samples], peak at 0.5.

    Harmonics of a gliding pitch under two moving resonances, in bursts of 4 Hz, over light noise: it
    drives an encoder through loud, quiet, voiced and noisy frames, which plain noise does not.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * sampling_rate)) / sampling_rate
    pitch = generator.uniform(90, 220) * (1 + 0.15 * np.sin(2 * np.pi * generator.uniform(0.3, 0.9) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / sampling_rate
    centres = [
        low + span * (1 + np.sin(2 * np.pi * generator.uniform(1, 3) * time + generator.uniform(0, 6))) / 2
        for low, span in ((300, 500), (900, 1400))
    ]
    voiced = np.zeros_like(time)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch
        strength = sum(np.exp(-(((frequency - centre) / 220) ** 2)) for centre in centres)
        voiced += (0.1 / harmonic + strength) * np.sin(harmonic * phase)
    bursts = np.clip(
        np.sin(2 * np.pi * generator.uniform(1.5, 2.5) * time + generator.uniform(0, 6)) + 0.4, 0, 1
    )
    signal = voiced * bursts + 0.02 * generator.standard_normal(len(time))
    return (0.5 * signal / max(1e-9, float(np.abs(signal).max()))).astype(np.float32)
