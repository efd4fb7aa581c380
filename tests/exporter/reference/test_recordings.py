"""A user's own recordings: read at the model's rate, refused before anything is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from exporter import ExportOptions, export_checkpoint
from exporter.pipeline import precision_graphs
from exporter.reference.recordings import read_recordings
from s2t_runtime.errors import AudioError


def test_recordings_come_at_the_models_rate_with_their_names(tmp_path: Path) -> None:
    tone = np.sin(np.arange(8_000) * 0.05).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", tone, 8_000)
    soundfile.write(tmp_path / "b.flac", np.stack([tone, tone], axis=1), 16_000)
    first, second = read_recordings(
        [tmp_path / "a.wav", tmp_path / "b.flac"], min_samples=400, max_samples=16_000, sampling_rate=16_000
    )
    assert (first.name, first.samples.shape, first.samples.dtype) == ("a.wav", (16_000,), np.float32)
    assert (second.name, second.samples.shape) == ("b.flac", (8_000,))


@pytest.mark.parametrize(
    ("seconds", "problem"),
    [
        (None, r"absent\.wav"),
        (0.01, r"160 samples"),
        (2.0, r"32000 samples"),
    ],
)
def test_what_the_bundle_would_not_take_is_refused_before_a_graph_is_traced(
    digits_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float | None,
    problem: str,
) -> None:
    path = tmp_path / "absent.wav"
    if seconds is not None:
        soundfile.write(path, np.zeros(round(16_000 * seconds)), 16_000)
    monkeypatch.setattr(precision_graphs, "write_graphs", lambda *_, **__: pytest.fail("a graph was traced"))
    options = ExportOptions(output=tmp_path / "bundle", max_audio_s=1.5, audio=(path,))
    with pytest.raises(AudioError, match=problem):
        export_checkpoint(str(digits_checkpoint), options)
    assert not options.output.exists()
