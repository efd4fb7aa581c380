"""A tiny checkpoint to damage, and what loading it then says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    MBartConfig,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderConfig,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
)

from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, UnsupportedModelError

WEIGHTS = "model.safetensors"
KEY = "encoder.encoder.layers.0.attention.k_proj"
POSITIONS = "encoder.encoder.pos_conv_embed.conv"
EMBEDDING = "decoder.model.decoder.embed_tokens.weight"
HEAD = "decoder.lm_head.weight"
SPECIAL_TOKENS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
GAPS = "the weights do not fit the configuration, and transformers would fill the gaps with random numbers"
TOO_MANY = "the weights do not fit the configuration"
WAY_OUT = (
    "; the file belongs to a model with more parts than this class has: export what it was trained as, or, if these "
    "have no part in decoding, accept them by name with --ignore-weights"
)

Weights = dict[str, torch.Tensor]


def tiny_config() -> SpeechEncoderDecoderConfig:
    encoder = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        vocab_size=40,
    )
    decoder = MBartConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        vocab_size=40,
        max_position_embeddings=32,
        is_decoder=True,
        add_cross_attention=True,
        is_encoder_decoder=False,
        tie_word_embeddings=True,
    )
    return SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, tie_word_embeddings=False, decoder_start_token_id=2, pad_token_id=1, eos_token_id=2
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    numbered = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(numbered, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def save_tiny(directory: Path) -> None:
    """A complete checkpoint."""
    torch.manual_seed(0)
    SpeechEncoderDecoderModel(config=tiny_config()).save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)


def load(directory: Path) -> Checkpoint:
    return load_checkpoint(locate_checkpoint(str(directory)))


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def change_weights(directory: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(directory / WEIGHTS)
    change(weights)
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})


def replace_weights(directory: Path, name: str, data: bytes) -> None:
    (directory / WEIGHTS).unlink()
    (directory / name).write_bytes(data)


def refusal(directory: Path) -> str:
    """The message, less the directory that it begins with; a damaged file gives one line."""
    with pytest.raises(CheckpointError) as caught:
        load(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(directory))
    return message.removeprefix(str(directory)).removeprefix(": ")


def reasons(directory: Path) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModelError) as caught:
        load(directory)
    listed = "".join(f"\n  - {reason}" for reason in caught.value.reasons)
    assert str(caught.value) == f"{directory} cannot be exported:{listed}"
    return caught.value.reasons
