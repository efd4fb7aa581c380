"""WHAT is exported: the three graphs as torch modules, and their contract."""

from graphs.attention import SHARED_CROSS_ATTENTION, attention_implementation
from graphs.cross_attention import decoder_geometry, find_cross_attention
from graphs.decoder import FirstStepGraph, WithPastGraph
from graphs.encoder import EncoderGraph
from graphs.features import WaveformSettings
from graphs.signature import (
    DecoderGeometry,
    GraphSignature,
    TensorSpec,
    encoder_signature,
    first_step_signature,
    with_past_signature,
)

__all__ = [
    "SHARED_CROSS_ATTENTION",
    "DecoderGeometry",
    "EncoderGraph",
    "FirstStepGraph",
    "GraphSignature",
    "TensorSpec",
    "WaveformSettings",
    "WithPastGraph",
    "attention_implementation",
    "decoder_geometry",
    "encoder_signature",
    "find_cross_attention",
    "first_step_signature",
    "with_past_signature",
]
