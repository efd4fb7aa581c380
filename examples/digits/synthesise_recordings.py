"""Make the demo recordings that the repository carries, with espeak-ng.

python examples/digits/synthesise_recordings.py examples/digits/recordings
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import soundfile
from corpus import SAMPLING_RATE, add_noise, synthesise

RECORDINGS = (
    # name, digits, voice, words per minute, gap between words in ms, signal-to-noise ratio in dB
    ("one_digit_7", (7,), "en-us", 130, 0, None),
    ("one_digit_0_noisy", (0,), "en-gb+f2", 120, 0, 20.0),
    ("several_digits_42", (4, 2), "en-gb", 130, 100, None),
    ("several_digits_427", (4, 2, 7), "en-us+m3", 130, 100, None),
    ("several_digits_815_noisy", (8, 1, 5), "en-gb-x-rp", 120, 100, 20.0),
    ("long_3906", (3, 9, 0, 6), "en-us", 105, 100, None),
    ("long_1952_noisy", (1, 9, 5, 2), "en-gb-scotland", 105, 100, 20.0),
)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def main(directory: Path) -> None:
    """Write 16 kHz, 16-bit wav files to DIRECTORY."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for name, digits, voice, rate, gap_ms, snr_db in RECORDINGS:
        spoken = synthesise(digits, voice=voice, words_per_minute=rate, pitch=50, gap_ms=gap_ms).audio
        # A rest before and after, as a person leaves it.
        rest = np.zeros(SAMPLING_RATE // 4, dtype=np.float32)
        audio = np.concatenate([rest, 0.6 * spoken / np.abs(spoken).max(), rest])
        if snr_db is not None:
            audio = add_noise(audio, rng, snr_db)
        soundfile.write(directory / f"{name}.wav", np.clip(audio, -1, 1), SAMPLING_RATE, subtype="PCM_16")
        click.echo(f"{name}.wav  {len(audio) / SAMPLING_RATE:.2f} s")


if __name__ == "__main__":
    main()
