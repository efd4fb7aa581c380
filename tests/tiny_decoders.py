"""Tiny random text decoders with cross-attention, one per variant that is exported differently."""

from __future__ import annotations

from typing import Any

from tiny_weights import seeded
from transformers import AutoModelForCausalLM

VOCAB = 60
BOS, PAD, EOS, UNK = 0, 1, 2, 3
ENDS = (EOS, 37, 38, 41)
"""Several end tokens: of sixty random tokens, one alone would hardly ever end a hypothesis early."""
MAX_POSITIONS = 48
DECODER_HIDDEN = 16

_BART: dict[str, Any] = {
    "d_model": DECODER_HIDDEN,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": MAX_POSITIONS,
}
_BERT: dict[str, Any] = {
    "hidden_size": DECODER_HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": MAX_POSITIONS,
}
_GPT2: dict[str, Any] = {
    "n_embd": DECODER_HIDDEN,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 32,
    "n_positions": MAX_POSITIONS,
}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mbart": ("mbart", {**_BART, "scale_embedding": True}),
    "bart": ("bart", _BART),
    "bert": ("bert", _BERT),
    "gpt2": ("gpt2", _GPT2),
    "mbart-untied": ("mbart", {**_BART, "tie_word_embeddings": False, "activation_function": "relu"}),
    "bart-scaled-untied": ("bart", {**_BART, "scale_embedding": True, "tie_word_embeddings": False}),
    "bert-untied": ("bert", {**_BERT, "tie_word_embeddings": False, "hidden_act": "relu"}),
    "gpt2-upcast": ("gpt2", {**_GPT2, "reorder_and_upcast_attn": True}),
    "gpt2-inverse-layer": ("gpt2", {**_GPT2, "scale_attn_by_inverse_layer_idx": True}),
    "gpt2-unscaled-untied": ("gpt2", {**_GPT2, "scale_attn_weights": False, "tie_word_embeddings": False}),
}


def tiny_decoder(name: str) -> Any:
    """A decoder of DECODERS, with cross-attention; always the same weights."""
    kind, options = DECODERS[name]
    roles = {"is_decoder": True, "add_cross_attention": True}
    tokens = {"vocab_size": VOCAB, "bos_token_id": BOS, "pad_token_id": PAD, "eos_token_id": EOS}
    return seeded(AutoModelForCausalLM, kind, name, {**options, **tokens, **roles})
