"""Utterances for the digits model, in batches: real speech, noisy and cut speech, and stand-ins for speech."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import corpus
import numpy as np
from support.digits.scale import RATE, Waveform

from exporter.reference.probe_audio import probe_utterance

CARRIED = Path(corpus.__file__).parent / "recordings"
FIRST_LANGUAGE = 4  # the token of the first of corpus.LANGUAGES; the others follow it
_FRAME = RATE // 40


@dataclasses.dataclass(frozen=True)
class Batch:
    """Utterances that are decoded one by one and all together."""

    name: str
    kinds: tuple[str, ...]
    waveforms: tuple[Waveform, ...]

    @property
    def lengths(self) -> set[int]:
        """In samples."""
        return {len(waveform) for waveform in self.waveforms}


def cut_in_a_word(audio: Waveform) -> Waveform:
    """End the utterance where it is loudest, in the middle of a word, but not in its first third."""
    frames = len(audio) // _FRAME
    energies = np.square(audio[: frames * _FRAME]).reshape(frames, _FRAME).sum(axis=1)
    earliest = frames // 3
    return audio[: (earliest + int(energies[earliest:].argmax()) + 1) * _FRAME]


def _same_length(audios: Sequence[Waveform]) -> tuple[Waveform, ...]:
    """The last part of each, as long as the shortest."""
    shortest = min(map(len, audios))
    return tuple(audio[len(audio) - shortest :] for audio in audios)


def spoken_batches(directory: Path) -> list[Batch]:
    """60 utterances of the test split: 24 clean ones, 16 noisy ones (5 dB) and 28 cut ones, 8 of them both."""
    rng = np.random.default_rng(11)
    utterances = [utterance.audio for utterance in corpus.test_utterances(directory, count=60)]
    batches = [_mixed_batch(f"spoken {n}", utterances[5 * n : 5 * n + 5], rng) for n in range(8)]
    # Neighbours in length, so that little is lost where all become as long as the shortest.
    cut = sorted(map(cut_in_a_word, utterances[40:]), key=len)
    for n in range(4):
        audios = [_noisy(audio, rng) if k < 2 else audio for k, audio in enumerate(cut[5 * n : 5 * n + 5])]
        kinds = ("noisy and cut",) * 2 + ("cut",) * 3
        batches.append(Batch(f"spoken, equal lengths {n}", kinds, _same_length(audios)))
    return batches


def _mixed_batch(name: str, audios: Sequence[Waveform], rng: np.random.Generator) -> Batch:
    first, second, third, fourth, fifth = audios
    changed = (first, _noisy(second, rng), third, cut_in_a_word(fourth), fifth)
    return Batch(name, ("clean", "noisy", "clean", "cut", "clean"), changed)


def _noisy(audio: Waveform, rng: np.random.Generator) -> Waveform:
    return corpus.add_noise(audio, rng, 5.0)


def carried_batches() -> list[Batch]:
    """The recordings that the repository carries, and each of them cut; none where it carries none."""
    audios = []
    for path in sorted(CARRIED.glob("*.wav")):
        audio = corpus.read_waveform(path)
        audios.append(audio if audio.ndim == 1 else audio.mean(axis=1))
    cut = tuple(cut_in_a_word(audio) for audio in audios)
    wholes = [audios[start : start + 4] for start in range(0, len(audios), 4)]
    batches = [Batch(f"carried {n}", ("clean",) * len(w), tuple(w)) for n, w in enumerate(wholes)]
    return [*batches, Batch("carried, cut", ("cut",) * len(cut), cut)] if audios else []


def probe_batches() -> list[Batch]:
    """Seeded signals with the rhythm of speech, which the model takes for speech of some sort."""
    durations = (1.4, 0.45, 2.7, 0.9), (1.3, 1.3, 1.3)
    return [
        Batch(f"probe {n}", ("probe",) * len(several), _probes(several, 10 * n))
        for n, several in enumerate(durations)
    ]


def usual_batches() -> list[Batch]:
    """What the repository carries and the model understands; without it the stand-ins."""
    return carried_batches()[:1] or probe_batches()


def _probes(durations_s: Sequence[float], seed: int) -> tuple[Waveform, ...]:
    return tuple(probe_utterance(duration, RATE, seed + n) for n, duration in enumerate(durations_s))
