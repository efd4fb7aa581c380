"""What CTranslate2 has neither part of: wav2vec2's adapter and enc_to_dec_proj, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def between(states: Float32, weights: Mapping[str, NDArray[Any]]) -> Float32:
    """The adapter and enc_to_dec_proj, as far as ``weights`` has them.

    Args:
        states: float32 [batch, frames, hidden] of the encoder part.
        weights: by name, matrices as [in, out], as ``conversion`` writes them.

    Returns:
        float32 [batch, frames, hidden] that the decoder attends to.
    """
    if "proj.weight" in weights:
        states = states @ weights["proj.weight"] + weights["proj.bias"]
        centred = states - states.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + weights["norm.epsilon"])
        states = centred / scale * weights["norm.weight"] + weights["norm.bias"]
    number = 0
    while f"conv{number}.weight" in weights:
        width, stride, padding = weights[f"conv{number}.shape"]
        padded = np.pad(states, ((0, 0), (padding, padding), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[:, ::stride]
        rows = windows.transpose(0, 1, 3, 2).reshape(*windows.shape[:2], -1)
        both = rows @ weights[f"conv{number}.weight"] + weights[f"conv{number}.bias"]
        value, gate = np.split(both, 2, axis=-1)
        states = value / (1 + np.exp(-gate))
        number += 1
    if "last.weight" in weights:
        states = states @ weights["last.weight"] + weights["last.bias"]
    return states
