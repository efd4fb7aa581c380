"""Feature extraction inside the encoder graph, so that every host feeds plain samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def mask_from_lengths(lengths: Tensor, size: int) -> Tensor:
    """Bool [batch, size], true below each length: a range comparison, which every host's runtime knows."""
    return torch.arange(size)[None, :] < lengths[:, None]


@dataclass(frozen=True)
class WaveformSettings:
    """What a Wav2Vec2FeatureExtractor does to raw samples."""

    sampling_rate: int
    """Hz; hosts resample before the graph."""
    do_normalize: bool
    """Zero mean and unit variance per utterance."""
    padding_value: float
    """What fills a batch behind each utterance's end."""
    masks_padding: bool
    """``return_attention_mask``: without it padding counts as audio, in the statistics and in attention."""


class WaveformFeatures(nn.Module):
    """Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm, on a padded batch.

    The statistics are two-pass (mean, then population variance of the centred samples): the
    one-pass form is off by 2.7e-2 on a recording with a DC offset.
    """

    def __init__(self, settings: WaveformSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> Tensor:
        """Normalise each utterance.

        Args:
            audio: float32 [batch, samples].
            audio_lengths: int64 [batch]; what lies behind does not matter.

        Returns:
            float32 [batch, samples].
        """
        settings = self.settings
        valid = mask_from_lengths(audio_lengths, audio.shape[1])
        padding = torch.full((), settings.padding_value, dtype=audio.dtype)
        padded = torch.where(valid, audio, padding)
        if not settings.do_normalize:
            return padded
        if not settings.masks_padding:
            # The feature extractor then knows no lengths: its statistics run over the padding too.
            centred = padded - exact_sum(padded) / padded.shape[-1]
            return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7)
        weights = valid.to(audio.dtype)
        count = weights.sum(-1, keepdim=True)
        centred = (audio - exact_sum(audio * weights) / count) * weights
        variance = centred.square().sum(-1, keepdim=True) / count
        return torch.where(valid, centred / torch.sqrt(variance + 1e-7), padding)

    def lengths(self, audio_lengths: Tensor) -> Tensor:
        """Inputs that the encoder may attend to, int64 [batch]: every sample is one."""
        return audio_lengths


def exact_sum(values: Tensor) -> Tensor:
    """Sum over the last axis, to more digits than float32 addition in any order would give.

    Digital silence becomes -mean / deviation, and the encoder's layer norms raise silence to full scale:
    on a recording with pauses a mean that is off by 5e-10 moves log-probabilities by 3e-4. Multiples of
    1/1024 add up without rounding, and the remainders are too small for theirs to matter.
    """
    coarse = torch.round(values * 1024) / 1024
    return coarse.sum(-1, keepdim=True) + (values - coarse).sum(-1, keepdim=True)
