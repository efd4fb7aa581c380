"""Speech2Text2 decoders, which left transformers in version 5, as what they are: Marian's with fairseq's positions.

Layer for layer both are the same: norms behind the blocks, none behind the embedding or at the end, tied head.
Only the table of positions differs: transformers 4 computed fairseq's (``Speech2Text2SinusoidalPositionalEmbedding``:
half sines, half cosines, counted from the padding id), which is put in the place of Marian's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

MODEL_TYPE: Final = "speech_to_text_2"
NOTE: Final = (
    "the decoder is a Speech2Text2 decoder, a class that left transformers in version 5: it is read as a Marian "
    "decoder with fairseq's positions, which computes the same"
)
_MARK: Final = "converted_from"
_TABLE: Final = "decoder.model.decoder.embed_positions.weight"
_STORED_TABLES: Final = ("decoder.model.decoder.embed_positions.weights", _TABLE)
_DROPPED: Final = ("max_target_positions", "max_source_positions", "num_hidden_layers")


def as_marian(decoder: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a Speech2Text2 decoder in MarianConfig's terms.

    Args:
        decoder: its part of config.json.
    """
    kept = {name: value for name, value in decoder.items() if name not in _DROPPED}
    layers, heads, width = (
        decoder.get(name, usual)
        for name, usual in (("decoder_layers", 6), ("decoder_attention_heads", 4), ("decoder_ffn_dim", 2048))
    )
    return {
        **kept,
        "model_type": "marian",
        _MARK: MODEL_TYPE,
        "vocab_size": decoder.get("vocab_size", 10000),
        "d_model": decoder.get("d_model", 256),
        "decoder_layers": layers,
        "encoder_layers": layers,  # transformers sizes the cache by these
        "decoder_attention_heads": heads,
        "encoder_attention_heads": heads,
        "decoder_ffn_dim": width,
        "encoder_ffn_dim": width,
        "activation_function": decoder.get("activation_function", "relu"),
        "scale_embedding": decoder.get("scale_embedding", True),
        "max_position_embeddings": decoder.get("max_target_positions", 1024),
        "pad_token_id": decoder.get("pad_token_id", 1),
        "bos_token_id": decoder.get("bos_token_id", 0),
        "eos_token_id": decoder.get("eos_token_id", 2),
        "decoder_start_token_id": decoder.get("decoder_start_token_id", 2),
        "forced_eos_token_id": decoder.get("forced_eos_token_id"),  # Marian's own default forces one
        "is_decoder": True,
        "add_cross_attention": True,
        "is_encoder_decoder": False,
    }


def was_speech2text2(config: Any) -> bool:
    """Whether a decoder's configuration came out of ``as_marian``."""
    return getattr(config, _MARK, None) == MODEL_TYPE


def with_positions(tensors: Mapping[str, Tensor], decoder: Any) -> dict[str, Tensor]:
    """The weights of the whole model, with fairseq's positions where Marian looks for its own.

    Args:
        tensors: of the checkpoint; older ones hold the table of positions.
        decoder: the MarianConfig.
    """
    stored = next((tensors[name] for name in _STORED_TABLES if name in tensors), None)
    padding, rows = int(decoder.pad_token_id), int(decoder.max_position_embeddings)
    first = padding + 1
    kept = {name: tensor for name, tensor in tensors.items() if name not in _STORED_TABLES}
    table = (
        fairseq_positions(first + rows, int(decoder.d_model), padding) if stored is None else stored.float()
    )
    if table.shape[0] < first + rows:  # the class itself makes a longer table where one is needed
        longer = fairseq_positions(first + rows, int(decoder.d_model), padding)
        table = torch.cat([table, longer[table.shape[0] :]])
    # A sequence without padding takes its positions from the row behind that of the padding on.
    return {**kept, _TABLE: table[first : first + rows].clone()}


def fairseq_positions(rows: int, width: int, padding: int) -> Tensor:
    """The sinusoidal table of fairseq, as ``Speech2Text2SinusoidalPositionalEmbedding.get_embedding`` computes it.

    Args:
        rows: number of positions.
        width: of the decoder's states.
        padding: the row that is zero.

    Returns:
        (rows, width) float32: sines in the first half, cosines in the second, an odd width ends in a zero.
    """
    half = width // 2
    step = math.log(10000) / (half - 1)
    frequencies = torch.exp(torch.arange(half, dtype=torch.int64).float() * -step)
    angles = torch.arange(rows, dtype=torch.int64).float().unsqueeze(1) * frequencies.unsqueeze(0)
    table = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1).view(rows, -1)
    if width % 2:
        table = torch.cat([table, torch.zeros(rows, 1)], dim=1)
    table[padding, :] = 0
    return table
