"""A decoder's shape, read off what it does, so that no family's attribute names need to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphs.cache_layout import cache_from_tensors, empty_cache, tensors_from_cache
from graphs.decoder.probe import decode_tokens, probe
from graphs.signature import DecoderGeometry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_UNBOUNDED = 4096
"""Positions that a decoder without max_position_embeddings must reach to count as unbounded."""


def decoder_geometry(decoder: PreTrainedModel) -> DecoderGeometry:
    """Layers, heads, widths and positions of a decoder that decoding_faults finds nothing against."""
    cache, logits = probe(decoder)
    keys_and_values = tensors_from_cache(cache.cross_attention_cache)
    _, heads, _, head_dim = keys_and_values[0].shape
    layers = len(keys_and_values) // 2
    return DecoderGeometry(
        layers=layers,
        heads=int(heads),
        head_dim=int(head_dim),
        vocab_size=int(logits.shape[-1]),
        max_positions=_max_positions(decoder, layers, (int(heads), int(head_dim))),
    )


def _max_positions(decoder: PreTrainedModel, layers: int, widths: tuple[int, int]) -> int | None:
    """The longest sequence whose last token still has a position; None where there is no end to them.

    Families differ in how many rows of their tables they keep for themselves (RoBERTa's positions begin
    behind the padding token's), so the last position is looked for by decoding there.
    """
    declared = getattr(decoder.config, "max_position_embeddings", None)
    # Beyond what is declared nothing is tried: some tables would grow by it.
    reachable, refused = 1, _UNBOUNDED if declared is None else int(declared)
    if _reaches(decoder, layers, widths, refused):
        return None if declared is None else refused
    while refused - reachable > 1:
        middle = (reachable + refused) // 2
        if _reaches(decoder, layers, widths, middle):
            reachable = middle
        else:
            refused = middle
    return reachable


def _reaches(decoder: PreTrainedModel, layers: int, widths: tuple[int, int], length: int) -> bool:
    """Whether a token behind ``length - 1`` cached ones can be decoded."""
    heads, head_dim = widths
    past = torch.zeros((1, heads, length - 1, head_dim), dtype=decoder.dtype)
    cache = empty_cache()
    cache.self_attention_cache = cache_from_tensors([past] * (2 * layers))
    token = 0 if decoder.config.pad_token_id != 0 else 1  # padding may have a position of its own
    try:
        logits = decode_tokens(decoder, torch.tensor([[token]]), cache)
    except (IndexError, RuntimeError):  # an embedding raises the one, a gather the other
        return False
    # Tables that are read by a slice give too few rows instead.
    return logits.shape[1] == 1
