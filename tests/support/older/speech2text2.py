"""A tiny checkpoint with a Speech2Text2 decoder, and what its class computes, written down anew.

The class left transformers in version 5. Its forward pass, from ``Speech2Text2Decoder`` and
``Speech2Text2SinusoidalPositionalEmbedding`` of transformers 4 (Apache-2.0): here without a cache, for one sequence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from support.tiny.damaged_checkpoint import Weights, save_tiny
from torch import Tensor
from torch.nn.functional import layer_norm, linear, relu

D_MODEL, LAYERS, HEADS, VOCAB, POSITIONS = 16, 2, 2, 40, 24
START, PAD, EOS = 2, 1, 2
DECODER = {
    "model_type": "speech_to_text_2",
    "activation_function": "relu",
    "add_cross_attention": True,
    "bos_token_id": 0,
    "d_model": D_MODEL,
    "decoder_attention_heads": HEADS,
    "decoder_ffn_dim": 24,
    "decoder_layers": LAYERS,
    "decoder_start_token_id": START,
    "eos_token_id": EOS,
    "is_decoder": True,
    "is_encoder_decoder": False,
    "max_target_positions": POSITIONS,
    "num_hidden_layers": LAYERS,
    "pad_token_id": PAD,
    "scale_embedding": True,
    "tie_word_embeddings": True,
    "vocab_size": VOCAB,
}
_ROOT = "decoder.model.decoder"


def table(rows: int, width: int = D_MODEL, padding: int = PAD) -> Tensor:
    """(rows, width) float32, value by value as fairseq defines it."""
    half = width // 2
    values = [
        [
            (math.sin if column < half else math.cos)(
                row * math.exp(-(column % half) * math.log(10000) / (half - 1))
            )
            for column in range(2 * half)
        ]
        for row in range(rows)
    ]
    values[padding] = [0.0] * width
    return torch.tensor(values)


def save(directory: Path, *, with_table: bool = True, **decoder: Any) -> None:
    """The checkpoint in the layout of 2021: a pickled file, defaults in config.json, vocab.json and merges.txt."""
    directory.mkdir(parents=True, exist_ok=True)
    save_tiny(directory)
    weights = torch.load(_as_pickle(directory), weights_only=True)
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.")}
    torch.save({**kept, **_decoder(with_table=with_table)}, directory / "pytorch_model.bin")
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config["decoder"] = {**DECODER, **decoder}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in (
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ):
        (directory / name).unlink(missing_ok=True)
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"w{n}" if n % 3 else f"p{n}@@" for n in range(4, VOCAB))]
    (directory / "vocab.json").write_text(
        json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8"
    )
    (directory / "merges.txt").write_text("#version: 0.2\nw a\n", encoding="utf-8")
    named = {"tokenizer_class": "Speech2Text2Tokenizer", "do_lower_case": True}
    (directory / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")


def _as_pickle(directory: Path) -> Path:
    from safetensors.torch import load_file

    path = directory / "pytorch_model.bin"
    torch.save(load_file(directory / "model.safetensors"), path)
    (directory / "model.safetensors").unlink()
    return path


def _decoder(*, with_table: bool) -> Weights:
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * (0.6 if len(shape) > 1 else 0.2)

    weights = {f"{_ROOT}.embed_tokens.weight": drawn(VOCAB, D_MODEL)}
    for layer in range(LAYERS):
        at = f"{_ROOT}.layers.{layer}"
        for attention in ("self_attn", "encoder_attn"):
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                weights[f"{at}.{attention}.{part}.weight"] = drawn(D_MODEL, D_MODEL)
                weights[f"{at}.{attention}.{part}.bias"] = drawn(D_MODEL)
        weights |= {f"{at}.fc1.weight": drawn(24, D_MODEL), f"{at}.fc1.bias": drawn(24)}
        weights |= {f"{at}.fc2.weight": drawn(D_MODEL, 24), f"{at}.fc2.bias": drawn(D_MODEL)}
        for norm in ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"):
            weights |= {f"{at}.{norm}.weight": 1 + drawn(D_MODEL), f"{at}.{norm}.bias": drawn(D_MODEL)}
    if with_table:
        weights[f"{_ROOT}.embed_positions.weights"] = table(POSITIONS + 2)
    return {**weights, "decoder.lm_head.weight": weights[f"{_ROOT}.embed_tokens.weight"].clone()}


def logits(weights: Mapping[str, Tensor], tokens: list[int], states: Tensor) -> Tensor:
    """(length, vocab) float32 of a decoder without padding.

    Args:
        weights: of the checkpoint.
        tokens: ids so far.
        states: (frames, D_MODEL) float32 of the encoder.
    """
    rows = PAD + 1 + torch.arange(len(tokens))
    positions = table(POSITIONS + PAD + 1)[rows]
    hidden = weights[f"{_ROOT}.embed_tokens.weight"][tokens] * math.sqrt(D_MODEL) + positions
    causal = torch.full((len(tokens), len(tokens)), float("-inf")).triu(1)
    for layer in range(LAYERS):
        at = f"{_ROOT}.layers.{layer}"
        hidden = _normed(
            weights,
            f"{at}.self_attn_layer_norm",
            hidden + _attend(weights, f"{at}.self_attn", hidden, hidden, causal),
        )
        crossed = _attend(weights, f"{at}.encoder_attn", hidden, states, torch.zeros(1))
        hidden = _normed(weights, f"{at}.encoder_attn_layer_norm", hidden + crossed)
        inner = relu(linear(hidden, weights[f"{at}.fc1.weight"], weights[f"{at}.fc1.bias"]))
        inner = linear(inner, weights[f"{at}.fc2.weight"], weights[f"{at}.fc2.bias"])
        hidden = _normed(weights, f"{at}.final_layer_norm", hidden + inner)
    return linear(hidden, weights[f"{_ROOT}.embed_tokens.weight"])


def _normed(weights: Mapping[str, Tensor], name: str, hidden: Tensor) -> Tensor:
    return layer_norm(hidden, (D_MODEL,), weights[f"{name}.weight"], weights[f"{name}.bias"])


def _attend(weights: Mapping[str, Tensor], name: str, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    def projected(part: str, given: Tensor) -> Tensor:
        whole = linear(given, weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"])
        return whole.view(len(given), HEADS, -1).transpose(0, 1)

    query = projected("q_proj", queries) * (D_MODEL // HEADS) ** -0.5
    shares = (query @ projected("k_proj", keys).transpose(1, 2) + mask).softmax(-1)
    mixed = (shares @ projected("v_proj", keys)).transpose(0, 1).reshape(len(queries), D_MODEL)
    return linear(mixed, weights[f"{name}.out_proj.weight"], weights[f"{name}.out_proj.bias"])
