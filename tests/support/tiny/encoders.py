"""Tiny random speech encoders, one per variant that the configuration classes offer."""

from __future__ import annotations

from typing import Any

from support.tiny.weights import seeded
from transformers import AutoModel, SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

DECODER_HIDDEN = 16

SAMPLING_RATE = 16_000
MIN_SAMPLES = 40
"""Receptive field of the tiny convolutions below."""
HIDDEN = 16

_TRANSFORMER: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_ENCODER: dict[str, Any] = {
    **_TRANSFORMER,
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
_SQUEEZED_BUCKETS = {"position_buckets": 8, "max_position_embeddings": 24}
_CONFORMER = {"conv_depthwise_kernel_size": 5}
# More than a trace has frames, fewer than a second of audio has.
_FEW_POSITIONS = {"position_embeddings_type": "relative", "max_source_positions": 80}
_DATA2VEC = {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2}
_BERT = {
    "conv_depthwise_kernel_size": 5,
    "left_max_position_embeddings": 3,
    "right_max_position_embeddings": 2,
}

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2-group": ("wav2vec2", {}),
    "wav2vec2-stable-adapter": ("wav2vec2", {**_STABLE, **_ADAPTER}),
    "wav2vec2-layer": ("wav2vec2", {**_LAYER, "hidden_act": "relu"}),
    "wav2vec2-group-adapters": (
        "wav2vec2",
        {**_ADAPTER, "num_adapter_layers": 2, "conv_bias": True, "feat_extract_activation": "relu"},
    ),
    "wav2vec2-narrow-adapter": ("wav2vec2", {**_LAYER, **_ADAPTER, "output_hidden_size": DECODER_HIDDEN}),
    "wav2vec2-attention-adapters": ("wav2vec2", {**_STABLE, "adapter_attn_dim": 8}),
    "hubert": ("hubert", {}),
    "hubert-stable": ("hubert", _STABLE),
    "hubert-batch-norm": (
        "hubert",
        {
            "conv_pos_batch_norm": True,
            "feat_proj_layer_norm": False,
            "hidden_act": "relu",
            "feat_extract_activation": "relu",
        },
    ),
    "wavlm": ("wavlm", _BUCKETS),
    "wavlm-stable": ("wavlm", {**_STABLE, **_BUCKETS, "hidden_act": "relu"}),
    "wavlm-adapter": ("wavlm", {**_LAYER, **_ADAPTER, **_BUCKETS, "feat_extract_activation": "relu"}),
    "wavlm-narrow-adapter": ("wavlm", {**_ADAPTER, **_BUCKETS, "output_hidden_size": DECODER_HIDDEN}),
    "data2vec-audio": ("data2vec-audio", _DATA2VEC),
    "data2vec-audio-adapter": (
        "data2vec-audio",
        {**_DATA2VEC, **_ADAPTER, "conv_bias": True, "hidden_act": "relu", "feat_extract_activation": "relu"},
    ),
    "data2vec-audio-narrow-adapter": (
        "data2vec-audio",
        {**_DATA2VEC, **_ADAPTER, "output_hidden_size": DECODER_HIDDEN},
    ),
    "unispeech": ("unispeech", {}),
    "unispeech-stable": ("unispeech", {**_STABLE, "hidden_act": "relu", "feat_extract_activation": "relu"}),
    "unispeech-sat": ("unispeech-sat", {}),
    "unispeech-sat-stable": (
        "unispeech-sat",
        {**_STABLE, "hidden_act": "relu", "feat_extract_activation": "relu"},
    ),
    "sew": ("sew", {}),
    "sew-layer": (
        "sew",
        {**_LAYER, "squeeze_factor": 3, "hidden_act": "relu", "feat_extract_activation": "relu"},
    ),
    # An odd kernel gives one position more than pooling gives frames, at some lengths.
    "sew-odd-positions": ("sew", {"num_conv_pos_embeddings": 15, "squeeze_factor": 3}),
    "sew-unsqueezed": ("sew", {**_LAYER, "squeeze_factor": 1}),
    "sew-d": ("sew-d", _SQUEEZED_BUCKETS),
    "sew-d-layer": (
        "sew-d",
        {
            **_LAYER,
            **_SQUEEZED_BUCKETS,
            "squeeze_factor": 3,
            "share_att_key": False,
            "norm_rel_ebd": "none",
            "hidden_act": "gelu",
            "feat_extract_activation": "relu",
        },
    ),
    "sew-d-c2p": ("sew-d", {**_LAYER, **_SQUEEZED_BUCKETS, "pos_att_type": ("c2p",), "share_att_key": False}),
    "sew-d-p2c": ("sew-d", {**_SQUEEZED_BUCKETS, "pos_att_type": ("p2c",), "num_conv_pos_embeddings": 15}),
    "sew-d-no-buckets": (
        "sew-d",
        {**_LAYER, "position_buckets": -1, "max_position_embeddings": 6, "squeeze_factor": 1},
    ),
    "sew-d-content-only": ("sew-d", {**_LAYER, "relative_attention": False, "pos_att_type": ()}),
    "conformer-relative": ("wav2vec2-conformer", {**_CONFORMER, **_FEW_POSITIONS}),
    "conformer-rotary": (
        "wav2vec2-conformer",
        {**_LAYER, **_CONFORMER, "position_embeddings_type": "rotary", "hidden_act": "swish"},
    ),
    "conformer-no-positions": (
        "wav2vec2-conformer",
        {**_LAYER, **_CONFORMER, "position_embeddings_type": None, "feat_extract_activation": "relu"},
    ),
    "conformer-relative-adapter": (
        "wav2vec2-conformer",
        {**_LAYER, **_CONFORMER, **_ADAPTER, **_FEW_POSITIONS},
    ),
    "conformer-rotary-narrow-adapter": (
        "wav2vec2-conformer",
        {
            **_CONFORMER,
            **_ADAPTER,
            "position_embeddings_type": "rotary",
            "output_hidden_size": DECODER_HIDDEN,
        },
    ),
    "bert-relative-key": ("wav2vec2-bert", _BERT),
    "bert-relative": ("wav2vec2-bert", {**_BERT, **_FEW_POSITIONS, "hidden_act": "relu"}),
    "bert-rotary": ("wav2vec2-bert", {**_BERT, "position_embeddings_type": "rotary"}),
    "bert-no-positions": ("wav2vec2-bert", {**_BERT, "position_embeddings_type": None}),
    "bert-adapter": ("wav2vec2-bert", {**_BERT, **_ADAPTER, "num_adapter_layers": 2}),
    "bert-ffn-adapter": (
        "wav2vec2-bert",
        {
            **_BERT,
            **_ADAPTER,
            "use_intermediate_ffn_before_adapter": True,
            "adapter_act": "gelu",
            "output_hidden_size": DECODER_HIDDEN,
        },
    ),
}
"""Every variant that the configuration classes offer: norms, biases, positions, adapters of every kind."""

FEATURES_INPUT = 20
"""Width of wav2vec2-bert's stacked log-mel frames here: two frames of ten bins."""


def takes_features(name: str) -> bool:
    """Whether the encoder takes log-mel features, not samples."""
    return ENCODERS[name][0] == "wav2vec2-bert"


def tiny_encoder(name: str, hidden: int = HIDDEN, **changes: Any) -> Any:
    """An encoder of ENCODERS; ``changes`` go into its configuration."""
    kind, options = ENCODERS[name]
    common = (
        {**_TRANSFORMER, "feature_projection_input_dim": FEATURES_INPUT} if takes_features(name) else _ENCODER
    )
    return seeded(
        AutoModel, kind, f"{name} {hidden}", {**common, **options, "hidden_size": hidden, **changes}
    )


def tiny_extractor(
    encoder_type: str,
    *,
    return_attention_mask: bool = True,
    do_normalize: bool = True,
    padding_value: float = 0.0,
) -> Any:
    """The feature extractor of an encoder's family."""
    common: dict[str, Any] = {
        "sampling_rate": SAMPLING_RATE,
        "padding_value": padding_value,
        "return_attention_mask": return_attention_mask,
    }
    if encoder_type == "wav2vec2-bert":
        bins = FEATURES_INPUT // 2
        return SeamlessM4TFeatureExtractor(feature_size=bins, num_mel_bins=bins, **common)
    return Wav2Vec2FeatureExtractor(do_normalize=do_normalize, **common)
