"""Log-mel features inside the encoder graph, as SeamlessM4TFeatureExtractor computes them.

Matrix products and elementwise operators only: TensorRT has no DFT or STFT operator. The extractor
computes in float64, and a graph for TensorRT cannot. That shows in recordings born at 8 kHz: their upper
half holds what the resampler left, 1e-6 of the speech below, which the rounding errors of a float32
transform drown. So the transform is exact where it counts: see ``_ExactTransform``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank, window_function

FRAME = 400
"""Samples of a frame, at any sampling rate."""
HOP = 160
"""Samples from one frame to the next."""
STACKED = 2
"""Frames that the encoder takes as one."""
_TRANSFORM = 512
_BLOCK = 80  # divides FRAME and HOP: frames are put together from whole blocks
_PREEMPHASIS = 0.97
_SCALE = 2.0**15  # Kaldi's samples are 16-bit integers
_FLOOR = 1.192092955078125e-07
_BITS = 7  # products of two such pieces, summed over 2 * FRAME, stay below float32's 24 bits
_OCTAVES = range(-40, 25)


@dataclass(frozen=True)
class LogMelSettings:
    """What a SeamlessM4TFeatureExtractor does to raw samples."""

    sampling_rate: int
    """Hz; hosts resample before the graph."""
    mel_bins: int
    """Filters of the mel bank; the encoder takes two frames of them as one."""
    padding_value: float
    """What fills a batch behind each utterance's last frame."""
    masks_padding: bool
    """``return_attention_mask``: without it the encoder attends to padding."""


class LogMelFeatures(nn.Module):
    """SeamlessM4TFeatureExtractor on a padded batch: frames, log-mel, normalisation per bin, stacking."""

    def __init__(self, settings: LogMelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.spectrum = _ExactTransform(_frame_transform())
        bank = mel_filter_bank(
            num_frequency_bins=_TRANSFORM // 2 + 1,
            num_mel_filters=settings.mel_bins,
            min_frequency=20,
            max_frequency=settings.sampling_rate // 2,
            sampling_rate=settings.sampling_rate,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.bank = _buffer(bank * _SCALE**2)

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> Tensor:
        """Features of each utterance, normalised over its own frames.

        Args:
            audio: float32 [batch, samples].
            audio_lengths: int64 [batch]; what lies behind does not matter.

        Returns:
            float32 [batch, stacked frames, 2 * mel_bins].
        """
        energies = torch.clamp_min(self.energies(_framed(audio)), _FLOOR)
        # Normalisation takes each bin's constant out. Out before the logarithm it costs no digits, and a bin
        # that never leaves the floor has a mean of exactly 0: its deviation of 0 raises no rounding error.
        logs = torch.log(energies / energies[:, 0].unsqueeze(1))
        count = _frames(audio_lengths)[:, None, None]
        valid = torch.arange(logs.shape[1])[None, :, None] < count
        normalised = torch.where(valid, _normalised(logs, valid, count), self.settings.padding_value)
        # The extractor pads the longest utterance to an even number of frames.
        even = nn.functional.pad(normalised, (0, 0, 0, 1), value=self.settings.padding_value)
        pairs = (logs.shape[1] + 1) // STACKED
        return even[:, : STACKED * pairs].reshape(even.shape[0], pairs, STACKED * self.settings.mel_bins)

    def energies(self, frames: Tensor) -> Tensor:
        """Mel energies [batch, frames, mel_bins] of raw frames [batch, frames, 400]."""
        spectrum, unit = self.spectrum(frames)
        real, imaginary = spectrum.chunk(2, dim=-1)
        return torch.matmul(real.square() + imaginary.square(), self.bank) * unit.square()

    def lengths(self, audio_lengths: Tensor) -> Tensor:
        """Stacked frames that the encoder may attend to, int64 [batch]: the odd last frame is masked."""
        return _frames(audio_lengths) // STACKED


class _ExactTransform(nn.Module):
    """frames @ matrix, to more digits than float32 keeps.

    Both factors are cut into pieces of 7 bits on fixed grids, so that the products of the leading pieces
    add up without rounding, in any order. (Ozaki, Ogita, Oishi and Rump, "Error-free transformations of
    matrix multiplication by using fast routines of matrix multiplication and its applications",
    Numerical Algorithms 59, 2012.) The remainders are 2^-14 of the whole; there float32 will do, and even
    the 10 bits of an NVIDIA GPU's TF32.
    """

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        super().__init__()
        grid = 2.0**_BITS
        first = np.round(matrix * grid) / grid
        rest = (matrix - first) * grid
        second = np.round(rest * grid) / grid
        self.first = _buffer(first)
        self.cross = _buffer(np.concatenate([second, first]))
        self.remainders = _buffer(np.concatenate([(rest - second) * grid, rest, matrix]))
        self.octaves = nn.Buffer(torch.tensor([2.0**octave for octave in _OCTAVES]), persistent=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The product [..., columns] in units [..., 1] of each frame's own, a power of two."""
        grid = 2.0**_BITS
        loudest = frames.abs().amax(-1, keepdim=True)
        # The power of two above the loudest sample: a host's Pow or Exp might miss it by a digit.
        unit = (
            torch.where(loudest >= self.octaves, 2 * self.octaves, self.octaves[0]).amax(-1, keepdim=True)
            / grid
        )
        scaled = frames / unit
        first = torch.round(scaled)
        rest = (scaled - first) * grid
        second = torch.round(rest)
        remainder = (rest - second) * grid
        # The matrix takes any constant out of a frame; what leaves as an integer costs no digits.
        first = first - torch.round(first.mean(-1, keepdim=True))
        product = torch.matmul(torch.cat((first, second, remainder), -1), self.remainders) / grid
        product = torch.matmul(torch.cat((first, second), -1), self.cross) + product
        return torch.matmul(first, self.first) + product / grid, unit


def _buffer(matrix: NDArray[np.float64]) -> nn.Buffer:
    return nn.Buffer(torch.from_numpy(matrix).float(), persistent=False)


def _frame_transform() -> NDArray[np.float64]:
    """All that is linear, as one matrix [400, 2 * 257]: mean removal, pre-emphasis, window, real DFT."""
    without_mean = np.eye(FRAME) - 1 / FRAME
    emphasis = np.eye(FRAME) - _PREEMPHASIS * np.eye(FRAME, k=1)
    emphasis[0, 0] = 1 - _PREEMPHASIS
    window = window_function(FRAME, "povey", periodic=False)
    angles = 2 * np.pi / _TRANSFORM * np.outer(np.arange(FRAME), np.arange(_TRANSFORM // 2 + 1))
    fourier = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    result: NDArray[np.float64] = without_mean @ emphasis @ (window[:, None] * fourier)
    return result


def _frames(lengths: Tensor) -> Tensor:
    return (lengths - FRAME) // HOP + 1


def _framed(audio: Tensor) -> Tensor:
    """[batch, frames, 400] from [batch, samples]; frames are gathered from the blocks that they are made of.

    Not sliced: what a slice gives, a trace counts as an unknown number, to which position tables cannot be cut.
    """
    batch, samples = audio.shape
    blocks = audio[:, : samples // _BLOCK * _BLOCK].reshape(batch, -1, _BLOCK)
    frames = (samples - FRAME) // HOP + 1
    chosen = torch.arange(frames)[:, None] * (HOP // _BLOCK) + torch.arange(FRAME // _BLOCK)
    return blocks.index_select(1, chosen.reshape(-1)).reshape(batch, frames, FRAME)


def _normalised(logs: Tensor, valid: Tensor, count: Tensor) -> Tensor:
    """Zero mean and unit variance (of the sample: ddof=1) per bin, over the valid frames."""
    weights = valid.to(logs.dtype)
    centred = (logs - (logs * weights).sum(1, keepdim=True) / count) * weights
    variance = centred.square().sum(1, keepdim=True) / (count - 1)
    return centred / torch.sqrt(variance + 1e-7)
