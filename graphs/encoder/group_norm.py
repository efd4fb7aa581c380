"""The group norm behind the first convolution, with a mean that has more digits than a sum over frames gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from graphs.encoder.waveform import exact_sum


@contextmanager
def exact_group_norms(encoder: nn.Module) -> Iterator[None]:
    """Compute the mean of each channel from the convolution's input, for a time.

    Digital silence, in a pause or behind an utterance's end, leaves the norm as minus the mean, the same in every
    frame, and the layer norms behind it raise that to full scale. PyTorch adds up in a cascade; a runtime that
    adds frame by frame is off by a hundred times more, which moved states of silent frames by 1e-3 of their
    scale. The mean of a convolution's output is the convolution of its input's means, of which there are few.
    """
    with ExitStack() as stack:
        for module in encoder.modules():
            if _is_normalised_by_channel(module):
                stack.enter_context(_exact(module))
        yield


def _is_normalised_by_channel(module: Any) -> bool:
    norm = getattr(module, "layer_norm", None)
    return (
        isinstance(getattr(module, "conv", None), nn.Conv1d)
        and isinstance(norm, nn.GroupNorm)
        and norm.num_groups == norm.num_channels
        and hasattr(module, "activation")
    )


@contextmanager
def _exact(layer: Any) -> Iterator[None]:
    means: list[Tensor] = []

    def convolve(states: Tensor) -> Tensor:
        convolved: Tensor = type(layer.conv).forward(layer.conv, states)
        means[:] = [_mean_of_output(layer.conv, states, convolved.shape[-1])]
        return convolved

    def normalise(convolved: Tensor) -> Tensor:
        norm = layer.layer_norm
        centred = convolved - means.pop()
        variance = centred.square().mean(-1, keepdim=True)
        scale = norm.weight[:, None] * torch.rsqrt(variance + norm.eps)
        return centred * scale + norm.bias[:, None]

    layer.conv.forward, layer.layer_norm.forward = convolve, normalise
    try:
        yield
    finally:
        del layer.conv.forward, layer.layer_norm.forward


def _mean_of_output(conv: nn.Conv1d, states: Tensor, frames: int) -> Tensor:
    """Float32 [batch, channels, 1]: the mean over frames of ``conv(states)``, for states [batch, inputs, length]."""
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    taps = torch.stack([states[..., tap::stride][..., :frames] for tap in range(kernel)], dim=-2)
    means = exact_sum(taps.float()).squeeze(-1) / frames
    mean = torch.einsum("oik,bik->bo", conv.weight.float(), means)
    return (mean if conv.bias is None else mean + conv.bias.float())[..., None]
