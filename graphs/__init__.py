"""WHAT is exported: the three graphs as torch modules, and their contract."""

from graphs.attention import CrossAttention, CrossAttentionMode, attention_implementation
from graphs.cross_attention import find_cross_attention
from graphs.decoder import FirstStepGraph, WithPastGraph
from graphs.decoder_families import traceable
from graphs.decoder_probe import encoder_state_width
from graphs.decoder_support import decoding_faults
from graphs.encoder import EncoderGraph, FeatureSettings
from graphs.features import WaveformSettings
from graphs.geometry import decoder_geometry
from graphs.log_mel import LogMelSettings
from graphs.output_projection import restricted_output, restriction_fault
from graphs.signature import (
    DecoderGeometry,
    GraphSignature,
    TensorSpec,
    encoder_signature,
    first_step_signature,
    with_past_signature,
)

__all__ = [
    "CrossAttention",
    "CrossAttentionMode",
    "DecoderGeometry",
    "EncoderGraph",
    "FeatureSettings",
    "FirstStepGraph",
    "GraphSignature",
    "LogMelSettings",
    "TensorSpec",
    "WaveformSettings",
    "WithPastGraph",
    "attention_implementation",
    "decoder_geometry",
    "decoding_faults",
    "encoder_signature",
    "encoder_state_width",
    "find_cross_attention",
    "first_step_signature",
    "restricted_output",
    "restriction_fault",
    "traceable",
    "with_past_signature",
]
