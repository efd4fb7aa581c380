"""Tiny random text decoders with cross-attention, one per variant that is exported differently."""

from __future__ import annotations

from typing import Any

from support.tiny.weights import seeded
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
_TROCR: dict[str, Any] = {
    "d_model": DECODER_HIDDEN,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": MAX_POSITIONS,
}
_XGLM: dict[str, Any] = {
    "d_model": DECODER_HIDDEN,
    "num_layers": 2,
    "attention_heads": 2,
    "ffn_dim": 32,
    "max_position_embeddings": MAX_POSITIONS,
}
_ROC_BERT = {
    **_BERT,
    "pronunciation_vocab_size": 20,
    "pronunciation_embed_dim": 8,
    "shape_vocab_size": 20,
    "shape_embed_dim": 8,
}
_XMOD = {**_BERT, "languages": ("en_XX", "de_DE", "cy_GB"), "default_language": "de_DE"}
# Embeddings of another width than the layers'.
_NARROW = {**_BERT, "embedding_size": 12}
_REMBERT = {**_BERT, "input_embedding_size": 12, "output_embedding_size": 20}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "mbart": ("mbart", {**_BART, "scale_embedding": True}),
    "bart": ("bart", _BART),
    "bert": ("bert", _BERT),
    "gpt2": ("gpt2", _GPT2),
    "marian": ("marian", {**_BART, "scale_embedding": True, "activation_function": "swish"}),
    "pegasus": ("pegasus", {**_BART, "scale_embedding": True, "activation_function": "relu"}),
    "blenderbot": ("blenderbot", _BART),
    "blenderbot-small": ("blenderbot-small", _BART),
    "plbart": ("plbart", _BART),
    "bigbird_pegasus": ("bigbird_pegasus", _BART),
    "mvp": ("mvp", _BART),
    "trocr": ("trocr", _TROCR),
    "bert-generation": ("bert-generation", _BERT),
    "electra": ("electra", _NARROW),
    "ernie": ("ernie", _BERT),
    "roberta": ("roberta", _BERT),
    "roberta-prelayernorm": ("roberta-prelayernorm", _BERT),
    "xlm-roberta": ("xlm-roberta", _BERT),
    "xlm-roberta-xl": ("xlm-roberta-xl", _BERT),
    "camembert": ("camembert", _BERT),
    "data2vec-text": ("data2vec-text", _BERT),
    "xmod": ("xmod", _XMOD),
    "roc_bert": ("roc_bert", _ROC_BERT),
    "rembert": ("rembert", _REMBERT),
    "roformer": ("roformer", {**_NARROW, "rotary_value": True}),
    "xglm": ("xglm", _XGLM),
}
"""One of each family of transformers that decodes encoder states with a cache."""

EXPANDED = ("mvp", "rembert", "roformer", "trocr", "xglm")
"""Families that compute attention themselves, so that keys and values are expanded over beams."""

_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mbart-untied": ("mbart", {**_BART, "tie_word_embeddings": False, "activation_function": "relu"}),
    "bart-scaled-untied": ("bart", {**_BART, "scale_embedding": True, "tie_word_embeddings": False}),
    "bert-untied": ("bert", {**_BERT, "tie_word_embeddings": False, "hidden_act": "relu"}),
    "gpt2-upcast": ("gpt2", {**_GPT2, "reorder_and_upcast_attn": True}),
    "gpt2-inverse-layer": ("gpt2", {**_GPT2, "scale_attn_by_inverse_layer_idx": True}),
    "gpt2-unscaled-untied": ("gpt2", {**_GPT2, "scale_attn_weights": False, "tie_word_embeddings": False}),
    "gpt2-no-padding-token": ("gpt2", {**_GPT2, "pad_token_id": None}),
    "marian-unscaled-untied": ("marian", {**_BART, "tie_word_embeddings": False}),
    "mvp-prompts": ("mvp", {**_BART, "use_prompt": True, "prompt_length": 5, "prompt_mid_dim": 8}),
    # Sinusoidal positions that begin behind the padding token, as RoBERTa's learned ones do.
    "trocr-sinusoidal": (
        "trocr",
        {
            **_TROCR,
            "use_learned_position_embeddings": False,
            "layernorm_embedding": False,
            "scale_embedding": True,
        },
    ),
    # Takes the encoder's own width, without an enc_to_dec_proj.
    "trocr-wide-states": ("trocr", {**_TROCR, "cross_attention_hidden_size": 24}),
    "roberta-late-padding": ("roberta", {**_BERT, "pad_token_id": 5}),
    "roformer-plain-values": ("roformer", {**_NARROW, "rotary_value": False}),
    "ernie-tasks": ("ernie", {**_BERT, "use_task_id": True}),
    "roc_bert-plain": (
        "roc_bert",
        {**_ROC_BERT, "enable_pronunciation": False, "enable_shape": False, "concat_input": False},
    ),
    "xmod-adapter-norms": (
        "xmod",
        {**_XMOD, "adapter_layer_norm": True, "ln_before_adapter": False, "pre_norm": True},
    ),
    "xglm-unscaled-untied": ("xglm", {**_XGLM, "scale_embedding": False, "tie_word_embeddings": False}),
}
DECODERS = {**FAMILIES, **_VARIANTS}
"""Every family, and the variants of configuration that change what a graph computes."""

# What the families' own checkpoints begin with; the others have a token for it.
_STARTS = {
    **dict.fromkeys(("bart", "mbart", "plbart", "mvp", "trocr", "bigbird_pegasus"), EOS),
    **dict.fromkeys(("marian", "pegasus"), PAD),
}


def start_token(name: str) -> int:
    """The decoder_start_token_id of a decoder of DECODERS."""
    return _STARTS.get(DECODERS[name][0], BOS)


def tiny_decoder(name: str) -> Any:
    """A decoder of DECODERS, with cross-attention; always the same weights."""
    kind, options = DECODERS[name]
    roles = {"is_decoder": True, "add_cross_attention": True}
    tokens = {"vocab_size": VOCAB, "bos_token_id": BOS, "pad_token_id": PAD, "eos_token_id": EOS}
    return seeded(AutoModelForCausalLM, kind, name, {**tokens, **options, **roles})
