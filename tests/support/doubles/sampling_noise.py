"""Makes eager draw with numpy's random numbers, as the runtime does: then both must draw the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationMixin

from s2t_runtime.search.sampling import generators


@contextmanager
def our_noise(seed: int, batch: int, num_beams: int, num_return_sequences: int) -> Iterator[None]:
    """``torch.multinomial`` with the runtime's generators, for one call of eager ``generate()``."""
    each = num_return_sequences if num_beams == 1 else 1
    streams = [stream for streams in generators(seed, batch, each) for stream in streams]
    accumulated: list[torch.Tensor] = []
    real = GenerationMixin._get_top_k_continuations

    def continuations(self: Any, accumulated_log_probs: torch.Tensor, **keywords: Any) -> Any:
        accumulated.append(accumulated_log_probs)
        return real(self, accumulated_log_probs=accumulated_log_probs, **keywords)

    def multinomial(probs: torch.Tensor, num_samples: int) -> torch.Tensor:
        if num_beams == 1:
            return _draw_one(probs, streams)
        return _draw_several(accumulated[-1], num_samples, streams)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GenerationMixin, "_get_top_k_continuations", continuations)
        patch.setattr(torch, "multinomial", multinomial)
        yield


def _draw_one(probs: torch.Tensor, streams: Sequence[np.random.Generator]) -> torch.Tensor:
    """Inverts the running sum of eager's float32 probabilities."""
    sums = np.cumsum(probs.numpy().astype(np.float64), axis=-1)
    bounds = np.array([stream.random() for stream in streams])[:, None] * sums[:, -1:]
    return torch.from_numpy((sums <= bounds).sum(axis=-1))[:, None]


def _draw_several(scores: torch.Tensor, count: int, streams: Sequence[np.random.Generator]) -> torch.Tensor:
    """Gumbel's top k of eager's accumulated scores, noise for those that are finite in order."""
    keys = scores.numpy().astype(np.float64)
    for row, stream in enumerate(streams):
        possible = np.isfinite(keys[row])
        keys[row, possible] -= np.log(stream.standard_exponential(int(possible.sum())))
    return torch.from_numpy(np.argsort(-keys, axis=-1, kind="stable")[:, :count].copy())
