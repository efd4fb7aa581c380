"""What a model itself makes of one unit in the last place: how far rounding alone may move its encoder's outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from exporter.reference.eager import EagerEncoding, EagerReference, Waveform

_DRAWS = 2


def own_spread(
    reference: EagerReference, waveforms: Sequence[Waveform], encoding: EagerEncoding
) -> tuple[Tensor, list[Tensor]]:
    """Encode features in eager again that differ from the extractor's by their last digit, and compare.

    Layer norms raise a frame that is all but constant over its channels to full scale, and with it the rounding of
    whatever computed it. How much, only the model can tell.

    Args:
        reference: the checkpoint.
        waveforms: float32 [samples] each, encoded as one padded batch.
        encoding: what eager makes of them.

    Returns:
        The largest difference of each frame: float32 [batch, frames, 1] of the states, and of each of the cross keys
        and values, layer by layer, [batch, 1, frames, 1].
    """
    features = reference.features(waveforms)
    cross = reference.cross_keys_values(encoding.states)
    states_spread = torch.zeros((*encoding.states.shape[:2], 1))
    cross_spread = [torch.zeros((tensor.shape[0], 1, tensor.shape[2], 1)) for tensor in cross]
    for values in _neighbours(features[reference.input_name]):
        moved = reference.encode_features({**features, reference.input_name: values}).states
        states_spread = torch.maximum(states_spread, (moved - encoding.states).abs().amax(-1, keepdim=True))
        others = reference.cross_keys_values(moved)
        cross_spread = [
            torch.maximum(spread, (other - tensor).abs().amax((1, 3), keepdim=True))
            for spread, other, tensor in zip(cross_spread, others, cross, strict=True)
        ]
    return states_spread, cross_spread


def _neighbours(values: Tensor) -> Iterator[Tensor]:
    """Each value a unit up or down, all of them shifted by a unit of the largest, all of them scaled by one."""
    for seed in range(_DRAWS):
        up = torch.randint(2, values.shape, generator=torch.Generator().manual_seed(seed)).bool()
        yield torch.nextafter(values, torch.where(up, torch.inf, -torch.inf))
    unit = float(np.spacing(np.float32(values.abs().max())))
    for sign in (1, -1):
        yield values + sign * unit
        yield values * (1 + sign * 2.0**-23)
