"""Finds a decoder's cross-attention by watching it run, so that no family needs to be listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from graphs.attention import attention_implementation, shared_cross_attention
from graphs.cache_layout import empty_cache
from graphs.signature import DecoderGeometry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE = "s2t_probe"
_PROBE_FRAMES = 7
_PROBE_TOKENS = 2


def find_cross_attention(decoder: PreTrainedModel) -> tuple[nn.Module, ...]:
    """The modules that attend to encoder states through transformers' AttentionInterface.

    Two tokens are decoded against seven frames; a module that meets seven keys is cross-attention.
    """
    found: list[nn.Module] = []

    def watch(
        module: nn.Module, query: Tensor, key: Tensor, *arguments: Any, **named: Any
    ) -> tuple[Tensor, None]:
        if key.shape[2] == _PROBE_FRAMES:
            found.append(module)
        return shared_cross_attention(module, query, key, *arguments, **named)

    AttentionInterface.register(_PROBE, watch)
    AttentionMaskInterface.register(_PROBE, eager_mask)
    with attention_implementation(decoder, _PROBE):
        _probe(decoder)
    return tuple(found)


def decoder_geometry(decoder: PreTrainedModel) -> DecoderGeometry:
    """Layers, heads and widths, read off a cache that the decoder itself fills."""
    cache = _probe(decoder)
    cross = cache.cross_attention_cache
    _, heads, _, head_dim = cross.layers[0].keys.shape
    positions = getattr(decoder.config, "max_position_embeddings", None)
    return DecoderGeometry(
        layers=len(cross.layers),
        heads=int(heads),
        head_dim=int(head_dim),
        vocab_size=int(decoder.config.vocab_size),
        max_positions=None if positions is None else int(positions),
    )


def _probe(decoder: PreTrainedModel) -> Any:
    cache = empty_cache()
    states = torch.zeros((1, _PROBE_FRAMES, decoder.config.hidden_size), dtype=decoder.dtype)
    tokens = torch.zeros((1, _PROBE_TOKENS), dtype=torch.long)
    with torch.no_grad():
        decoder(input_ids=tokens, encoder_hidden_states=states, past_key_values=cache, use_cache=True)
    return cache
