"""Feature extraction inside the encoder graph, so that every host feeds plain samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


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

    def forward(self, audio: Tensor, valid: Tensor) -> Tensor:
        """Normalise each utterance.

        Args:
            audio: float32 [batch, samples].
            valid: bool [batch, samples], false behind each utterance's end.

        Returns:
            float32 [batch, samples].
        """
        settings = self.settings
        padding = torch.full((), settings.padding_value, dtype=audio.dtype)
        padded = torch.where(valid, audio, padding)
        if not settings.do_normalize:
            return padded
        if not settings.masks_padding:
            # The feature extractor then knows no lengths: its statistics run over the padding too.
            centred = padded - padded.mean(-1, keepdim=True)
            return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-7)
        weights = valid.to(audio.dtype)
        count = weights.sum(-1, keepdim=True)
        centred = (audio - (audio * weights).sum(-1, keepdim=True) / count) * weights
        variance = centred.square().sum(-1, keepdim=True) / count
        return torch.where(valid, centred / torch.sqrt(variance + 1e-7), padding)
