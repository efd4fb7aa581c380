"""A user's own recordings, read as the bundle will read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from exporter.reference.utterance import Utterance
from s2t_runtime.audio import check_audio, read_audio


def read_recordings(
    paths: Iterable[Path], *, min_samples: int, max_samples: int, sampling_rate: int
) -> list[Utterance]:
    """Read recordings, at the model's rate.

    Args:
        paths: sound files.
        min_samples: shortest audio that the bundle takes.
        max_samples: longest.
        sampling_rate: Hz, of the model.

    Raises:
        AudioError: a file cannot be read, or is too short or too long.
    """
    utterances = []
    for path in paths:
        samples = read_audio(path, sampling_rate=None, target_rate=sampling_rate)
        check_audio(samples, min_samples=min_samples, max_samples=max_samples, sampling_rate=sampling_rate)
        utterances.append(Utterance(path.name, samples))
    return utterances
