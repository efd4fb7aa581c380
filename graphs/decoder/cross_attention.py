"""Finds how a decoder attends to the encoder by watching it run, so that no family needs to be listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from graphs.cache_layout import tensors_from_cache
from graphs.decoder.attention import CrossAttention, attention_implementation, shared_cross_attention
from graphs.decoder.probe import PROBE_FRAMES, probe
from graphs.decoder.step_graphs import DecoderGraph

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE = "s2t_probe"
_BATCH, _BEAMS = 2, 3
_TOLERANCE = 1e-4
"""Of the largest logit, between the two modes: float32 stays at 1e-6, mixed-up beams are at 1e-1."""


def find_cross_attention(decoder: PreTrainedModel) -> CrossAttention:
    """Shared over beams where every layer allows it and the result is that of expanded keys, else expanded."""
    modules = _modules_on_the_interface(decoder)
    layers = len(probe(decoder)[0].cross_attention_cache.layers)
    expanded, shared = CrossAttention(), CrossAttention(modules)
    if len({id(module) for module in modules}) != layers or len(modules) != layers:
        return expanded
    wanted, got = (_beam_logits(decoder, cross_attention) for cross_attention in (expanded, shared))
    same = float((wanted - got).abs().max()) <= _TOLERANCE * float(wanted.abs().max())
    return shared if same else expanded


def _modules_on_the_interface(decoder: PreTrainedModel) -> tuple[nn.Module, ...]:
    """The modules that attend to encoder states through transformers' AttentionInterface.

    Two tokens are decoded against seven frames; a module that meets seven keys is cross-attention.
    """
    if not decoder._can_set_attn_implementation():  # noqa: SLF001 - it would log a warning and do nothing
        return ()
    found: list[nn.Module] = []

    def watch(
        module: nn.Module, query: Tensor, key: Tensor, *arguments: Any, **named: Any
    ) -> tuple[Tensor, None]:
        if key.shape[2] == PROBE_FRAMES:
            found.append(module)
        return shared_cross_attention(module, query, key, *arguments, **named)

    AttentionInterface.register(_PROBE, watch)
    AttentionMaskInterface.register(_PROBE, eager_mask)
    with attention_implementation(decoder, _PROBE):
        probe(decoder)
    return tuple(found)


def _beam_logits(decoder: PreTrainedModel, cross_attention: CrossAttention) -> Tensor:
    """Logits [2, 3, vocab] of two utterances with three beams each, keys and values at random."""
    generator = torch.Generator().manual_seed(0)
    cross = [
        torch.randn((_BATCH, *tensor.shape[1:]), generator=generator).to(tensor.dtype)
        for tensor in tensors_from_cache(probe(decoder)[0].cross_attention_cache)
    ]
    tokens = torch.arange(_BATCH * _BEAMS * 2).reshape(_BATCH, _BEAMS, 2) % decoder.config.vocab_size
    mask = torch.arange(PROBE_FRAMES)[None, :] < torch.tensor([[PROBE_FRAMES], [4]])
    graph = DecoderGraph(decoder, cross_attention).eval()
    with attention_implementation(decoder, cross_attention.implementation), torch.no_grad():
        return graph.decode(tokens, mask, cross, [])[0]
