"""Runs a decoder on next to nothing, to see what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphs.cache_layout import empty_cache

if TYPE_CHECKING:
    from transformers import EncoderDecoderCache, PreTrainedModel

PROBE_FRAMES = 7
_PROBE_TOKENS = 2


def encoder_state_width(decoder_config: Any) -> int:
    """Width of the encoder states that a decoder's cross-attention takes."""
    own = getattr(decoder_config, "cross_attention_hidden_size", None)
    return int(decoder_config.hidden_size if own is None else own)


def probe(decoder: PreTrainedModel) -> tuple[EncoderDecoderCache, Tensor]:
    """The filled cache and the logits [1, 2, vocab] of two tokens against seven frames."""
    cache = empty_cache()
    return cache, decode_tokens(decoder, torch.zeros((1, _PROBE_TOKENS), dtype=torch.long), cache)


def decode_tokens(decoder: Any, tokens: Tensor, cache: EncoderDecoderCache) -> Tensor:
    """Logits [rows, tokens, vocab] of eager's own pass; the cache grows in place."""
    states = torch.zeros(
        (len(tokens), PROBE_FRAMES, encoder_state_width(decoder.config)), dtype=decoder.dtype
    )
    with torch.no_grad():
        output = decoder(
            input_ids=tokens,
            encoder_hidden_states=states,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
    return output.logits
