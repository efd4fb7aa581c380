"""Feature extraction as a torch module against Wav2Vec2FeatureExtractor; nothing is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.graphs.comparison import utterances
from support.tiny.encoders import SAMPLING_RATE
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor

from graphs.encoder.waveform import WaveformFeatures, WaveformSettings, mask_from_lengths

Waveform = NDArray[np.float32]
SPEECH = utterances(0.3, 0.07, 0.18)
TOLERANCE = 2e-6
GARBAGE = 0.7  # what a host leaves behind an utterance's end

ROWS: dict[str, list[Waveform]] = {
    "speech": SPEECH,
    "alone": SPEECH[:1],
    "same lengths": [SPEECH[0], SPEECH[0][::-1].copy()],
    "shortest": [SPEECH[0][:400], SPEECH[0][:401], SPEECH[0]],
    "one sample": [SPEECH[0][:1], SPEECH[1]],
    "quiet": [SPEECH[0] * 1e-4, SPEECH[1] * 1e-3, SPEECH[2]],
    "loud": [SPEECH[0] * 30, SPEECH[1], SPEECH[2] * 3e4],
    "offset": [SPEECH[0] * 0.1 + 0.5, SPEECH[1] - 0.5, SPEECH[2]],
    "silence": [np.zeros(900, dtype=np.float32), SPEECH[0]],
}
"""Utterances of each case, as one padded batch."""
SETTINGS = {
    "masked": WaveformSettings(SAMPLING_RATE, do_normalize=True, padding_value=0.0, masks_padding=True),
    "unmasked": WaveformSettings(SAMPLING_RATE, do_normalize=True, padding_value=0.0, masks_padding=False),
    "masked, padded with 0.25": WaveformSettings(SAMPLING_RATE, True, 0.25, True),
    "unmasked, padded with -1": WaveformSettings(SAMPLING_RATE, True, -1.0, False),
    "as it is": WaveformSettings(SAMPLING_RATE, False, 0.0, True),
    "as it is, unmasked, padded with 0.25": WaveformSettings(SAMPLING_RATE, False, 0.25, False),
}


def extracted(settings: WaveformSettings, waveforms: list[Waveform]) -> Tensor:
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=settings.sampling_rate,
        do_normalize=settings.do_normalize,
        padding_value=settings.padding_value,
        return_attention_mask=settings.masks_padding,
    )
    return extractor(
        waveforms, sampling_rate=settings.sampling_rate, padding=True, return_tensors="pt"
    ).input_values


def in_graph(settings: WaveformSettings, waveforms: list[Waveform]) -> Tensor:
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    audio = torch.full((len(waveforms), int(lengths.max())), GARBAGE)
    for row, waveform in enumerate(waveforms):
        audio[row, : len(waveform)] = torch.from_numpy(waveform)
    return WaveformFeatures(settings)(audio, lengths)


def largest_difference(settings: WaveformSettings, waveforms: list[Waveform]) -> float:
    wanted, got = extracted(settings, waveforms), in_graph(settings, waveforms)
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype == torch.float32
    # Relative to each row, so that a loud one hides nothing of a quiet one.
    scale = wanted.abs().amax(-1, keepdim=True).clamp_min(1.0)
    return float(((got - wanted) / scale).abs().max())


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_same_as_the_feature_extractor(settings: str, rows: str) -> None:
    assert largest_difference(SETTINGS[settings], ROWS[rows]) < TOLERANCE


def test_silence_stays_silent() -> None:
    got = in_graph(SETTINGS["masked"], ROWS["silence"])
    assert torch.equal(got[0], torch.zeros_like(got[0]))
    assert torch.isfinite(got).all()


def one_pass(self: Any, audio: Tensor, lengths: Tensor) -> Tensor:
    """Variance as mean of squares minus square of the mean."""
    valid = mask_from_lengths(lengths, audio.shape[1])
    weights = valid.to(audio.dtype)
    count = weights.sum(-1, keepdim=True)
    mean = (audio * weights).sum(-1, keepdim=True) / count
    variance = (audio.square() * weights).sum(-1, keepdim=True) / count - mean.square()
    return torch.where(valid, (audio - mean) / torch.sqrt(variance + 1e-7), torch.zeros(()))


def sample_variance(self: Any, audio: Tensor, lengths: Tensor) -> Tensor:
    """Divides by one less than the number of samples."""
    valid = mask_from_lengths(lengths, audio.shape[1])
    weights = valid.to(audio.dtype)
    count = weights.sum(-1, keepdim=True)
    centred = (audio - (audio * weights).sum(-1, keepdim=True) / count) * weights
    return centred / torch.sqrt(centred.square().sum(-1, keepdim=True) / (count - 1) + 1e-7)


def over_padding(self: Any, audio: Tensor, lengths: Tensor) -> Tensor:
    """Statistics over the padding as well."""
    valid = mask_from_lengths(lengths, audio.shape[1])
    padded = torch.where(valid, audio, torch.zeros(()))
    centred = padded - padded.mean(-1, keepdim=True)
    return torch.where(
        valid, centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7), torch.zeros(())
    )


FAINT_OVER_OFFSET = [waveform * 0.01 + 0.5 for waveform in SPEECH]


@pytest.mark.parametrize(
    ("bug", "waveforms"),
    [(one_pass, FAINT_OVER_OFFSET), (sample_variance, ROWS["shortest"]), (over_padding, SPEECH)],
)
def test_the_comparison_sees_wrong_statistics(
    monkeypatch: pytest.MonkeyPatch, bug: Any, waveforms: list[Waveform]
) -> None:
    # A faint signal over an offset loses digits in any float32 formula, the extractor's own included.
    assert largest_difference(SETTINGS["masked"], waveforms) < 5e-5
    monkeypatch.setattr(WaveformFeatures, "forward", bug)
    assert largest_difference(SETTINGS["masked"], waveforms) > 5e-4
    # Without an offset one pass would do: plain probes cannot see it.
    if bug is one_pass:
        assert largest_difference(SETTINGS["masked"], SPEECH) < TOLERANCE
