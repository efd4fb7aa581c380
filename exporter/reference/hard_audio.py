"""Audio that tries a half-precision model: speech-like, and what goes to the borders of the number range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.reference.probe_audio import probe_utterance
from exporter.reference.utterance import Utterance

_LARGE_MODEL_PARAMETERS = 150_000_000
Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class AudioCase:
    """Utterances that are encoded as one padded batch; float32 [samples] each."""

    name: str
    waveforms: tuple[Waveform, ...]


def hard_audio(
    sampling_rate: int, *, min_samples: int, max_samples: int, parameters: int
) -> tuple[AudioCase, ...]:
    """Seeded cases, the commonest first, within the lengths that the model takes.

    Args:
        sampling_rate: Hz.
        min_samples: shortest audio.
        max_samples: longest audio.
        parameters: of the model; a large one gets a shorter "long" case, as float16 is slow on a CPU.
    """

    def speech(duration_s: float, seed: int) -> Waveform:
        samples = min(max(round(duration_s * sampling_rate), min_samples), max_samples)
        return probe_utterance(samples / sampling_rate, sampling_rate, seed)

    long_s = 6.0 if parameters > _LARGE_MODEL_PARAMETERS else 12.0
    voice = speech(1.5, 301)
    return (
        AudioCase("speech", (voice,)),
        AudioCase("padded", (speech(1.7, 302), speech(0.6, 303))),
        AudioCase("loud", (40 * speech(1.1, 304),)),
        AudioCase("clipped", (np.clip(60 * speech(1.2, 305), -1, 1),)),
        AudioCase("quiet with an offset", (1e-4 * voice + np.float32(0.3),)),
        AudioCase("speech, then silence", (_then_silence(speech(1.3, 306)),)),
        AudioCase("silent", (np.zeros_like(speech(0.9, 0)),)),
        AudioCase("a single click", (_click(speech(1.0, 0)),)),
        AudioCase("long", (speech(long_s, 307),)),
    )


def recorded(utterances: Sequence[Utterance]) -> tuple[AudioCase, ...]:
    """Real recordings as further cases, one utterance each."""
    return tuple(AudioCase(utterance.name, (utterance.samples,)) for utterance in utterances)


def _then_silence(waveform: Waveform) -> Waveform:
    changed = waveform.copy()
    changed[len(changed) // 2 :] = 0  # digital silence: the encoder's norms raise what rounding leaves of it
    return changed


def _click(waveform: Waveform) -> Waveform:
    changed = np.zeros_like(waveform)
    changed[len(changed) // 3] = 1  # all energy in one sample: the largest value that normalisation can give
    return changed
