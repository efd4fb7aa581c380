"""WHAT is exported: the three graphs as torch modules, and their contract."""

from graphs.decoder.attention import CrossAttention, CrossAttentionMode, attention_implementation
from graphs.decoder.cross_attention import find_cross_attention
from graphs.decoder.families import traceable
from graphs.decoder.geometry import decoder_geometry
from graphs.decoder.joining import ids_fed_alone
from graphs.decoder.output_projection import restricted_output, restriction_fault
from graphs.decoder.probe import encoder_state_width
from graphs.decoder.step_graphs import FirstStepGraph, WithPastGraph
from graphs.decoder.support import decoding_faults
from graphs.encoder.graph import EncoderGraph, FeatureSettings
from graphs.encoder.log_mel import LogMelSettings
from graphs.encoder.waveform import WaveformSettings
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
    "ids_fed_alone",
    "restricted_output",
    "restriction_fault",
    "traceable",
    "with_past_signature",
]
