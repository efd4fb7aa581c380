"""The only place that knows the order of cached keys and values.

Flat lists run layer by layer, key before value: key.0, value.0, key.1, value.1, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache


def cache_from_tensors(tensors: Sequence[Tensor]) -> DynamicCache:
    """A cache of len(tensors) / 2 layers."""
    cache = DynamicCache()
    for layer in range(len(tensors) // 2):
        cache.update(tensors[2 * layer], tensors[2 * layer + 1], layer)
    return cache


def tensors_from_cache(cache: DynamicCache) -> list[Tensor]:
    """The flat list of a cache."""
    layers: list[Any] = cache.layers  # of several classes, all with keys and values once filled
    return [tensor for layer in layers for tensor in (layer.keys, layer.values)]


def empty_cache() -> EncoderDecoderCache:
    """Nothing decoded, nothing projected yet."""
    return EncoderDecoderCache(DynamicCache(), DynamicCache())
