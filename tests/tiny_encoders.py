"""Tiny random speech encoders, one per variant that the configuration classes offer."""

from __future__ import annotations

from typing import Any

from tiny_weights import seeded
from transformers import AutoModel

SAMPLING_RATE = 16_000
MIN_SAMPLES = 40
"""Receptive field of the tiny convolutions below."""
HIDDEN = 16

_ENCODER: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_LAYER = {"feat_extract_norm": "layer", "conv_bias": True}
_STABLE = {**_LAYER, "do_stable_layer_norm": True}
_ADAPTER = {"add_adapter": True, "num_adapter_layers": 1}
# Few buckets, so that the logarithmic ones are used at tiny lengths as well.
_BUCKETS = {"num_buckets": 16, "max_bucket_distance": 24}
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2-group": ("wav2vec2", {}),
    "wav2vec2-stable-adapter": ("wav2vec2", {**_STABLE, **_ADAPTER}),
    "wav2vec2-layer": ("wav2vec2", {**_LAYER, "hidden_act": "relu"}),
    "wav2vec2-group-adapters": ("wav2vec2", {**_ADAPTER, "num_adapter_layers": 2, "conv_bias": True}),
    "wav2vec2-attention-adapters": ("wav2vec2", {**_STABLE, "adapter_attn_dim": 8}),
    "hubert": ("hubert", {}),
    "hubert-stable": ("hubert", _STABLE),
    "hubert-batch-norm": ("hubert", {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False}),
    "wavlm": ("wavlm", _BUCKETS),
    "wavlm-stable": ("wavlm", {**_STABLE, **_BUCKETS}),
    "wavlm-adapter": ("wavlm", {**_LAYER, **_ADAPTER, **_BUCKETS}),
}
"""Every variant that the configuration classes offer: norms, biases, adapters of both kinds."""


def tiny_encoder(name: str, hidden: int = HIDDEN, **changes: Any) -> Any:
    """An encoder of ENCODERS; ``changes`` go into its configuration."""
    kind, options = ENCODERS[name]
    return seeded(
        AutoModel, kind, f"{name} {hidden}", {**_ENCODER, **options, "hidden_size": hidden, **changes}
    )
