"""The contract of the three graphs: names, dtypes and named dynamic axes, in order.

Hosts (Python, C++) rely on these names alone; ``exporter.onnx.checks`` compares every exported file
with them. Axes given as text are dynamic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DType = Literal["float32", "float16", "int64", "bool"]

ENCODER = "encoder"
DECODER_FIRST_STEP = "decoder_first_step"
DECODER_WITH_PAST = "decoder_with_past"
GRAPH_NAMES = (ENCODER, DECODER_FIRST_STEP, DECODER_WITH_PAST)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name, dtype and axes (an int is fixed, text names a dynamic axis)."""

    name: str
    dtype: DType
    axes: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphSignature:
    """Ordered inputs and outputs of one graph."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class DecoderGeometry:
    """What the graphs and their hosts need to know of a decoder's shape."""

    layers: int
    """Decoder layers, each with a self-attention and a cross-attention cache."""
    heads: int
    """Key/value heads per layer."""
    head_dim: int
    """Width of one head."""
    vocab_size: int
    """Token ids that the decoder takes, and width of the logits unless ``output_size`` says otherwise."""
    max_positions: int | None
    """Longest token sequence the position table allows; None where positions are unbounded."""
    output_size: int | None = None
    """Tokens that a restricted output projection has; None: all."""

    @property
    def columns(self) -> int:
        """Width of the logits."""
        return self.vocab_size if self.output_size is None else self.output_size


def cross_specs(geometry: DecoderGeometry, dtype: DType = "float32") -> tuple[TensorSpec, ...]:
    """Cross-attention keys and values, one row per utterance: beams share them."""
    axes = ("batch", geometry.heads, "frames", geometry.head_dim)
    return _layered(("cross_key", "cross_value"), geometry.layers, dtype, axes)


def _layered(
    stems: tuple[str, ...], layers: int, dtype: DType, axes: tuple[int | str, ...]
) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{stem}.{layer}", dtype, axes) for layer in range(layers) for stem in stems)


def encoder_signature(geometry: DecoderGeometry, hidden: int, states: DType = "float32") -> GraphSignature:
    """Raw audio in; encoder states, their mask and every layer's cross keys/values out.

    Args:
        geometry: of the decoder, whose cross projections run here, once per utterance.
        hidden: width of the encoder states that the decoder attends to.
        states: type of the encoder states, keys and values.
    """
    return GraphSignature(
        ENCODER,
        (
            TensorSpec("audio", "float32", ("batch", "samples")),
            TensorSpec("audio_lengths", "int64", ("batch",)),
        ),
        (
            TensorSpec("encoder_states", states, ("batch", "frames", hidden)),
            TensorSpec("encoder_mask", "bool", ("batch", "frames")),
            *cross_specs(geometry, states),
        ),
    )


def first_step_signature(geometry: DecoderGeometry, states: DType = "float32") -> GraphSignature:
    """Prompt in; candidates of the next token and the self-attention cache, of type ``states``, out."""
    present_axes = ("batch", geometry.heads, "prompt", geometry.head_dim)
    return GraphSignature(
        DECODER_FIRST_STEP,
        (
            TensorSpec("input_ids", "int64", ("batch", 1, "prompt")),
            TensorSpec("encoder_mask", "bool", ("batch", "frames")),
            *cross_specs(geometry, states),
            TensorSpec("candidates", "int64", ()),
        ),
        (
            *_scores(geometry, 1),
            *_layered(("present_key", "present_value"), geometry.layers, states, present_axes),
        ),
    )


def with_past_signature(geometry: DecoderGeometry, states: DType = "float32") -> GraphSignature:
    """Newest tokens, beam order and cache (of type ``states``) in; candidates and the grown cache out.

    ``beam_index`` holds flat rows of ``past_*``: the cache is reordered, and one row expanded to
    several beams, inside the graph.
    """
    past_axes = ("rows", geometry.heads, "past", geometry.head_dim)
    present_axes = ("batch_beams", geometry.heads, "total", geometry.head_dim)
    return GraphSignature(
        DECODER_WITH_PAST,
        (
            TensorSpec("input_ids", "int64", ("batch", "beams", "new")),
            TensorSpec("beam_index", "int64", ("batch", "beams")),
            TensorSpec("encoder_mask", "bool", ("batch", "frames")),
            *cross_specs(geometry, states),
            *_layered(("past_key", "past_value"), geometry.layers, states, past_axes),
            TensorSpec("candidates", "int64", ()),
        ),
        (
            *_scores(geometry, "beams"),
            *_layered(("present_key", "present_value"), geometry.layers, states, present_axes),
        ),
    )


def _scores(geometry: DecoderGeometry, beams: int | str) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec("logits", "float32", ("batch", beams, geometry.columns)),
        TensorSpec("candidate_log_probs", "float32", ("batch", beams, "candidates")),
        TensorSpec("candidate_ids", "int64", ("batch", beams, "candidates")),
    )
