"""The two decoder graphs, and what they must know of a decoder: its shape, its cross-attention, its output projection.

Given: a decoder of transformers, which is watched while it runs. Files and sessions are unknown here.
Open to: graphs.

Goes out:
    attention: CrossAttention, CrossAttentionMode, attention_implementation
    cross_attention: find_cross_attention
    families: traceable
    geometry: decoder_geometry
    joining: ids_fed_alone
    output_projection: restricted_output, restriction_fault
    probe: encoder_state_width
    step_graphs: FirstStepGraph, WithPastGraph
    support: decoder_reasons, decoding_faults
"""
