"""Log-mel features as a torch module against SeamlessM4TFeatureExtractor; nothing is exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray
from support.graphs.comparison import utterances
from torch import Tensor
from transformers import SeamlessM4TFeatureExtractor

import graphs.encoder.log_mel
from exporter.checkpoints.companions.loading import feature_settings
from graphs.encoder.log_mel import LogMelFeatures, _ExactTransform
from graphs.encoder.waveform import mask_from_lengths
from s2t_runtime.audio import read_audio

Waveform = NDArray[np.float32]
SPEECH = utterances(0.3, 0.07, 0.18)
WIDE_BAND, NARROW_BAND = 1e-4, 1e-3
"""Largest relative L2 errors, of speech and of what was born at 8 kHz."""
GARBAGE = 0.7  # what a host leaves behind an utterance's end
SHORTEST = 560


def extractor(**options: Any) -> SeamlessM4TFeatureExtractor:
    return SeamlessM4TFeatureExtractor(**{"padding_value": 1.0, **options})


def extracted(given: SeamlessM4TFeatureExtractor, waveforms: list[Waveform]) -> dict[str, Tensor]:
    return dict(given(waveforms, sampling_rate=given.sampling_rate, padding=True, return_tensors="pt"))


def in_graph(given: SeamlessM4TFeatureExtractor, waveforms: list[Waveform]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    audio = torch.full((len(waveforms), int(lengths.max())), GARBAGE)
    for row, waveform in enumerate(waveforms):
        audio[row, : len(waveform)] = torch.from_numpy(waveform)
    settings: Any = feature_settings(given)
    module = LogMelFeatures(settings)
    features = module(audio, lengths)
    return features, mask_from_lengths(module.lengths(lengths), features.shape[1])


def error(waveforms: list[Waveform], **options: Any) -> float:
    """The largest relative L2 error of an utterance; shapes, masks and padding must be equal."""
    given = extractor(**options)
    wanted, (got, mask) = extracted(given, waveforms), in_graph(given, waveforms)
    assert got.shape == wanted["input_features"].shape
    assert got.dtype == torch.float32
    assert torch.equal(mask, wanted["attention_mask"].bool())
    assert torch.equal(got == given.padding_value, wanted["input_features"] == given.padding_value)
    both = zip(got.double(), wanted["input_features"].double(), strict=True)
    return max(float((mine - theirs).norm() / theirs.norm().clamp_min(1e-9)) for mine, theirs in both)


ROWS: dict[str, list[Waveform]] = {
    "padded": SPEECH,
    "alone": SPEECH[:1],
    # Even and odd numbers of frames, and lengths between two frames.
    "every remainder": [SPEECH[0][: SHORTEST + 53 * more] for more in range(13)],
    "odd longest": [SPEECH[0][: 400 + 160 * 6], SPEECH[0][: 400 + 160 * 3]],
    "even longest": [SPEECH[0][: 400 + 160 * 7 + 80], SPEECH[0][: 400 + 160 * 3 + 159]],
    "shortest": [SPEECH[0][:SHORTEST]],
    "quiet and loud": [SPEECH[0] * 30, SPEECH[1] * 1e-2, SPEECH[2] * 3e4],
    "offset": [SPEECH[0] * 0.1 + 0.5, SPEECH[1] - 0.5, SPEECH[2]],
    "silence": [np.zeros(1700, dtype=np.float32), SPEECH[0]],
    "silence to begin with": [np.concatenate([np.zeros(900, dtype=np.float32), SPEECH[0]])],
}


@pytest.mark.parametrize("rows", ROWS)
def test_same_as_the_feature_extractor(rows: str) -> None:
    assert error(ROWS[rows]) < WIDE_BAND


@pytest.mark.parametrize(
    "options",
    [
        {"padding_value": 0.0},
        {"num_mel_bins": 10, "feature_size": 10},
        {"sampling_rate": 8000, "num_mel_bins": 40, "feature_size": 40},
    ],
)
def test_settings_of_the_feature_extractor(options: dict[str, Any]) -> None:
    assert error(SPEECH, **options) < WIDE_BAND


def test_silence_stays_silent() -> None:
    got, _ = in_graph(extractor(), ROWS["silence"])
    assert torch.equal(got[0, :4], torch.zeros_like(got[0, :4]))
    assert torch.isfinite(got).all()


def recordings(directory: Path) -> list[Waveform]:
    return [
        read_audio(path, sampling_rate=None, target_rate=16_000)
        for path in sorted(directory.glob("*.wav"))[::60]
    ]


def test_recordings_born_at_8_khz(recordings_directory: Path) -> None:
    found = recordings(recordings_directory)
    assert len(found) == 50
    assert max(error([waveform]) for waveform in found) < NARROW_BAND / 3


def test_wide_band_speech(recordings_directory: Path) -> None:
    path = recordings_directory.parent / "jfk.flac"
    if not path.is_file():
        pytest.skip(f"needs {path.name} beside the spoken digits")
    assert error([read_audio(path, sampling_rate=None, target_rate=16_000)]) < WIDE_BAND / 10


def narrow_band() -> Waveform:
    """What an 8 kHz recording becomes: nothing but the resampler's remains in the upper half."""
    rounded = np.round(utterances(0.6, seed=3)[0][::2] * 8000) / 32768
    return soxr.resample(rounded.astype(np.float32), 8000, 16_000, quality="HQ").astype(np.float32)


def plain_product(self: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    return torch.matmul(frames, self.remainders[-400:]), torch.ones(())


def test_a_plain_float32_transform_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert error([narrow_band()]) < NARROW_BAND / 3
    monkeypatch.setattr(_ExactTransform, "forward", plain_product)
    assert error([narrow_band()]) > NARROW_BAND
    # Wide-band speech cannot show it.
    assert error(SPEECH) < WIDE_BAND


def population_variance(logs: Tensor, valid: Tensor, count: Tensor) -> Tensor:
    weights = valid.to(logs.dtype)
    centred = (logs - (logs * weights).sum(1, keepdim=True) / count) * weights
    return centred / torch.sqrt(centred.square().sum(1, keepdim=True) / count + 1e-7)


def over_padding(logs: Tensor, _valid: Tensor, _count: Tensor) -> Tensor:
    centred = logs - logs.mean(1, keepdim=True)
    return centred / torch.sqrt(centred.square().sum(1, keepdim=True) / (logs.shape[1] - 1) + 1e-7)


@pytest.mark.parametrize("bug", [population_variance, over_padding])
def test_the_comparison_sees_wrong_statistics(
    monkeypatch: pytest.MonkeyPatch, bug: Callable[..., Tensor]
) -> None:
    monkeypatch.setattr(graphs.encoder.log_mel, "_normalised", bug)
    assert error(SPEECH) > 10 * WIDE_BAND


@pytest.mark.parametrize(("name", "value"), [("_PREEMPHASIS", 0.95), ("_FLOOR", 1e-3), ("_SCALE", 1.0)])
def test_the_comparison_sees_wrong_constants(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(graphs.encoder.log_mel, name, value)
    assert error([narrow_band(), *ROWS["silence to begin with"]]) > 3 * NARROW_BAND


@torch.no_grad()
def test_the_leading_pieces_add_up_without_rounding() -> None:
    """In any order: sums of float32 products equal those of float64."""
    generator = torch.Generator().manual_seed(0)
    loudest = torch.randint(-(2**7), 2**7 + 1, (64, 400), generator=generator).float()
    module = _ExactTransform(graphs.encoder.log_mel._frame_transform())
    assert torch.equal((loudest @ module.first).double(), loudest.double() @ module.first.double())
    pieces = torch.cat((loudest, loudest.flip(0) / 2), -1).round()
    assert torch.equal((pieces @ module.cross).double(), pieces.double() @ module.cross.double())


@torch.no_grad()
def test_the_transform_is_that_of_float64() -> None:
    matrix = graphs.encoder.log_mel._frame_transform()
    generator = torch.Generator().manual_seed(1)
    for gain in (1e-6, 0.3, 1.0, 700.0):
        frames = torch.randn((5, 400), generator=generator) * gain
        product, unit = _ExactTransform(matrix)(frames)
        wanted = frames.double().numpy() @ matrix
        np.testing.assert_allclose((product * unit).numpy(), wanted, atol=3e-7 * np.abs(wanted).max())
