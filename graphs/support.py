"""Which checkpoints can be split into the three graphs: every reason against one, from its configuration."""

from __future__ import annotations

from typing import Any

SUPPORTED_ENCODERS = ("hubert", "wav2vec2", "wavlm")
"""Encoders that take raw samples and are tested in every variant of their configuration class."""
SUPPORTED_DECODERS = ("bart", "bert", "gpt2", "mbart")
"""Decoders with cross-attention through transformers' AttentionInterface, tested with each encoder."""


def reasons_against(config: Any) -> list[str]:
    """Why a SpeechEncoderDecoderConfig cannot be exported; empty where it can."""
    reasons = []
    encoder, decoder = config.encoder, config.decoder
    if encoder.model_type not in SUPPORTED_ENCODERS:
        reasons.append(
            f"encoder {encoder.model_type!r} is not supported yet; supported: {', '.join(SUPPORTED_ENCODERS)}"
        )
    if decoder.model_type not in SUPPORTED_DECODERS:
        reasons.append(
            f"decoder {decoder.model_type!r} is not supported yet; supported: {', '.join(SUPPORTED_DECODERS)}"
        )
    if not getattr(decoder, "add_cross_attention", False):
        reasons.append(
            "the decoder has no cross-attention (decoder.add_cross_attention is not true), so it cannot "
            "hear the encoder: fine-tune the model with decoder.add_cross_attention=true"
        )
    if not getattr(decoder, "is_decoder", False):
        reasons.append(
            "the decoder attends to later tokens (decoder.is_decoder is not true), so it has no cache: "
            "fine-tune the model with decoder.is_decoder=true"
        )
    return reasons + _cache_reasons(decoder) + _width_reasons(config)


def _cache_reasons(decoder: Any) -> list[str]:
    layers = getattr(decoder, "decoder_layers", None)
    # transformers sizes the cache by num_hidden_layers, which the BART family maps to encoder_layers.
    cached = getattr(decoder, "encoder_layers", None)
    if layers is None or cached is None or cached >= layers:
        return []
    return [
        f"decoder.encoder_layers is {cached}, below decoder.decoder_layers {layers}: transformers sizes "
        f"the cache by encoder_layers and generate() fails; set decoder.encoder_layers to {layers} in "
        "config.json (a decoder has no encoder layers, so nothing else changes)"
    ]


def _width_reasons(config: Any) -> list[str]:
    encoder, wanted = config.encoder, config.decoder.hidden_size
    declared = getattr(encoder, "output_hidden_size", encoder.hidden_size)
    produced = declared if getattr(encoder, "add_adapter", False) else encoder.hidden_size
    # SpeechEncoderDecoderModel decides by the declared width but builds enc_to_dec_proj for hidden_size.
    accepted = wanted if declared == wanted else encoder.hidden_size
    if produced == accepted:
        return []
    return [
        f"the encoder's states are {produced} wide but the model takes {accepted} (encoder.hidden_size "
        f"{encoder.hidden_size}, encoder.output_hidden_size {declared}, decoder {wanted}): eager PyTorch "
        "cannot run this model either"
    ]
