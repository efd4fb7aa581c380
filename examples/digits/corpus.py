"""Spoken numbers: recordings of single digits joined into utterances, and the words they stand for.

Two sources of speech: the Free Spoken Digit Dataset (a directory of ``digit_speaker_index.wav``)
and voices synthesised with espeak-ng. Everything is seeded through the ``numpy.random.Generator``
that the caller passes in.
"""

from __future__ import annotations

import io
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from num2words import num2words
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
"""float32 [samples], mono, at SAMPLING_RATE."""

SAMPLING_RATE = 16_000
TEST_INDICES = range(5)
LANGUAGES = ("de", "fr", "es", "tr", "sv", "cy", "ca", "id", "ar", "lv", "ja", "sl")
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ESPEAK_VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029")
ESPEAK_VARIANTS = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4")


@dataclass(frozen=True)
class Utterance:
    """One spoken number: ``audio`` float32 [samples] at 16 kHz and its ``digits``, e.g. (4, 2, 7)."""

    audio: Waveform
    digits: tuple[int, ...]

    @property
    def number(self) -> int:
        return int("".join(map(str, self.digits)))


@dataclass(frozen=True)
class Variation:
    """How training utterances differ from the recordings they are made of."""

    speed: float
    """Up to this share faster or slower, pitch included."""
    long_pause_share: float
    """Share of utterances with pauses of up to ``long_pause_s`` between digits."""
    long_pause_s: float
    room_tone: bool
    """Whether pauses sound like a quiet room, or are digital silence."""
    noise_share: float
    """Share of utterances with white noise."""
    noise_snr_db: tuple[float, float]
    """Least and largest ratio of signal to noise."""


def words(number: int, language: str) -> str:
    """The number in words, e.g. ``words(427, "de") == "vierhundertsiebenundzwanzig"``."""
    return str(num2words(number, lang=language))


def draw_digits(rng: np.random.Generator) -> tuple[int, ...]:
    """One to four digits, each count as likely; the first is not zero unless it stands alone."""
    count = int(rng.integers(1, 5))
    digits = [int(rng.integers(0 if count == 1 else 1, 10))]
    return (*digits, *(int(digit) for digit in rng.integers(0, 10, count - 1)))


def read_waveform(path: Path | io.BytesIO) -> Waveform:
    """Read a mono recording and bring it to 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(samples, rate, SAMPLING_RATE), dtype=np.float32)


class Recordings:
    """Single spoken digits by speaker: ``takes[speaker][digit]`` is a list of waveforms."""

    def __init__(self, takes: dict[str, dict[int, list[Waveform]]]) -> None:
        self.takes = takes
        self.speakers = sorted(takes)

    @classmethod
    def read(cls, directory: Path, *, test: bool) -> Recordings:
        """The test split is index 0-4 of every digit and speaker, the training split the rest."""
        takes: dict[str, dict[int, list[Waveform]]] = defaultdict(lambda: defaultdict(list))
        for path in sorted(directory.glob("*_*_*.wav")):
            digit, speaker, index = path.stem.split("_")
            if (int(index) in TEST_INDICES) == test:
                takes[speaker][int(digit)].append(read_waveform(path))
        if not takes:
            raise FileNotFoundError(
                f"no recordings named digit_speaker_index.wav in {directory}; give the directory "
                "of the Free Spoken Digit Dataset"
            )
        return cls(takes)

    def speak(
        self, digits: tuple[int, ...], rng: np.random.Generator, variation: Variation | None = None
    ) -> Utterance:
        """Join one speaker's takes with short pauses; without a variation in a quiet room, otherwise as they were."""
        takes = self.takes[self.speakers[rng.integers(len(self.speakers))]]
        speed, longest_pause_s = 1.0, 0.2
        if variation is not None:
            speed = float(rng.uniform(1 - variation.speed, 1 + variation.speed))
            if rng.random() < variation.long_pause_share:
                longest_pause_s = variation.long_pause_s
        parts = [silence(rng, 0.3)]
        for digit in digits:
            take = takes[digit][rng.integers(len(takes[digit]))]
            parts += [change_speed(take, speed), silence(rng, longest_pause_s)]
        audio = np.concatenate(parts)
        room_tone = variation is None or variation.room_tone
        return Utterance(add_room_tone(audio, rng) if room_tone else audio, digits)


def silence(rng: np.random.Generator, longest_s: float) -> Waveform:
    return np.zeros(int(rng.uniform(0.02, longest_s) * SAMPLING_RATE), dtype=np.float32)


def change_speed(audio: Waveform, speed: float) -> Waveform:
    """Play faster (``speed`` > 1) or slower, pitch included; linear interpolation suffices here."""
    if speed == 1.0:
        return audio
    positions = np.arange(0, len(audio) - 1, speed)
    return np.interp(positions, np.arange(len(audio)), audio).astype(np.float32)


def add_noise(audio: Waveform, rng: np.random.Generator, snr_db: float) -> Waveform:
    """Add white noise at the given signal-to-noise ratio over the whole utterance."""
    power = float(np.mean(np.square(audio, dtype=np.float64))) * 10 ** (-snr_db / 10)
    return audio + rng.normal(0.0, np.sqrt(power), len(audio)).astype(np.float32)


def add_room_tone(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Add the noise of a quiet room, 35 to 45 dB below the speech.

    Takes joined with zeros have pauses of digital silence, which no microphone gives. The encoder normalises
    every frame, so such frames show nothing but the resampler's rounding errors, at full scale.
    """
    return add_noise(audio, rng, float(rng.uniform(35, 45)))


def disturb(utterance: Utterance, rng: np.random.Generator, variation: Variation) -> Utterance:
    """Vary the gain by 12 dB either way and add noise to the variation's share of utterances."""
    audio = utterance.audio * np.float32(10 ** (rng.uniform(-12, 12) / 20))
    if rng.random() < variation.noise_share:
        audio = add_noise(audio, rng, float(rng.uniform(*variation.noise_snr_db)))
    return Utterance(audio, utterance.digits)


def synthesise(
    digits: tuple[int, ...], *, voice: str, words_per_minute: int, pitch: int, gap_ms: int
) -> Utterance:
    """Speak the digits as one phrase with espeak-ng; ``pitch`` is 0-99, ``gap_ms`` between words."""
    phrase = " ".join(DIGIT_NAMES[digit] for digit in digits)
    command = ["espeak-ng", "--stdout", "-v", voice, "-s", str(words_per_minute)]
    command += ["-p", str(pitch), "-g", str(gap_ms // 10), phrase]
    try:
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise FileNotFoundError("espeak-ng is not installed: apt-get install espeak-ng") from error
    # espeak-ng streams its header before it knows the length; soundfile then reads to the end.
    return Utterance(read_waveform(io.BytesIO(spoken)), digits)


def synthesise_randomly(count: int, rng: np.random.Generator, *, room_tone: bool) -> list[Utterance]:
    """Random numbers in random voices, speeds, pitches and gaps; with ``room_tone`` in a quiet room."""
    spoken = [
        synthesise(
            draw_digits(rng),
            voice=str(rng.choice(ESPEAK_VOICES)) + str(rng.choice(ESPEAK_VARIANTS)),
            words_per_minute=int(rng.integers(100, 180)),
            pitch=int(rng.integers(25, 75)),
            gap_ms=int(rng.choice([0, 50, 100, 200, 400])),
        )
        for _ in range(count)
    ]
    return [Utterance(add_room_tone(one.audio, rng), one.digits) for one in spoken] if room_tone else spoken


def test_utterances(directory: Path, *, count: int = 240, seed: int = 7) -> list[Utterance]:
    """The evaluation set: test-split takes joined with short pauses in a quiet room, as recorded otherwise."""
    rng = np.random.default_rng(seed)
    recordings = Recordings.read(directory, test=True)
    return [recordings.speak(draw_digits(rng), rng) for _ in range(count)]
