"""Tiny pretrained halves: a speech encoder and text decoders, each as its own checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers import decoders as joins
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast, Wav2Vec2FeatureExtractor

VOCAB = 60
HIDDEN = 24
"""Of the encoder; the decoders have 16, so that a pair has an enc_to_dec_proj."""
_BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 48,
}
_GPT2: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 32, "n_positions": 48}
_BART: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 48,
    "decoder_start_token_id": 2,
}
DECODERS: dict[str, dict[str, Any]] = {
    "bert": {**_BERT, "pad_token_id": 1},
    "gpt2": {**_GPT2, "bos_token_id": 0, "eos_token_id": 2},
    "mbart": {**_BART, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "marian": {**_BART, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
}


def encoder_config(**changes: Any) -> Any:
    options: dict[str, Any] = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (16, 16, 16),
        "conv_kernel": (10, 3, 3),
        "conv_stride": (5, 2, 2),
        "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "feat_extract_norm": "layer",
        "conv_bias": True,
    }
    return AutoConfig.for_model("wav2vec2", **{**options, **changes})


def decoder_config(kind: str, **changes: Any) -> Any:
    return AutoConfig.for_model(kind, **{**DECODERS[kind], "vocab_size": VOCAB, **changes})


def save_encoder(directory: Path) -> Any:
    """A wav2vec2 without a head, with its feature extractor."""
    torch.manual_seed(3)
    model = AutoModel.from_config(encoder_config())
    model.save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    return model


def save_decoder(directory: Path, kind: str, factory: Any, **roles: str) -> Any:
    """A text model of ``factory`` with its tokenizer, whose special tokens are ``roles``."""
    torch.manual_seed(4)
    model = factory.from_config(decoder_config(kind))
    model.save_pretrained(directory)
    named = roles or {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"}
    tokenizer(**named).save_pretrained(directory)
    return model


def tokenizer(**roles: str) -> PreTrainedTokenizerFast:
    """Sixty words; 0 is <s>, 1 <pad>, 2 </s>, 3 [CLS], 4 [SEP]."""
    special = ["<s>", "<pad>", "</s>", "[CLS]", "[SEP]"]
    words = [*special, *(f"▁{number}" for number in range(VOCAB - len(special)))]
    built = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, []))
    built.pre_tokenizer, built.decoder = pre_tokenizers.Metaspace(), joins.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=built, **roles)  # type: ignore[arg-type]
