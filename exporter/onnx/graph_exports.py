"""What to trace: each graph's module with small example inputs and its dynamic axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphs import (
    CrossAttention,
    DecoderGeometry,
    EncoderGraph,
    FeatureSettings,
    FirstStepGraph,
    GraphSignature,
    WithPastGraph,
    encoder_signature,
    first_step_signature,
    with_past_signature,
)
from graphs.signature import DType

# torch.export treats sizes 0 and 1 as constants: every dynamic axis is traced at 2 or more, and no
# two axes at the same size, so that a mix-up of axes shows.
_BATCH, _BEAMS, _NEW, _FRAMES, _PAST, _ROWS = 2, 3, 4, 5, 6, 7
_CANDIDATES = 8
_TORCH_TYPES: dict[DType, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class GraphExport:
    """One graph, ready for ``torch.onnx.export``."""

    signature: GraphSignature
    module: nn.Module
    arguments: tuple[Any, ...]
    """Example inputs, nested as the module's forward takes them."""
    dynamic_shapes: dict[str, Any]
    """Per argument of forward, its dynamic axes by position and name."""


def encoder_export(
    module: EncoderGraph,
    geometry: DecoderGeometry,
    *,
    hidden: int,
    min_samples: int,
    states: DType = "float32",
) -> GraphExport:
    """The encoder graph, traced at two utterances of three minimum lengths.

    ``states`` is the type of encoder states and caches, here and below.
    """
    samples = 3 * min_samples + 1234
    audio = torch.randn((_BATCH, samples), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([samples, samples - min_samples])
    return GraphExport(
        encoder_signature(geometry, hidden, states),
        module,
        (audio, lengths),
        {"audio": {0: "batch", 1: "samples"}, "audio_lengths": {0: "batch"}},
    )


def first_step_export(
    module: FirstStepGraph, geometry: DecoderGeometry, states: DType = "float32"
) -> GraphExport:
    """The first step, traced with a prompt of four tokens."""
    return GraphExport(
        first_step_signature(geometry, states),
        module,
        (_tokens(_BATCH, 1, _NEW), _mask(), _cross(geometry, states), _candidates(geometry)),
        {
            "input_ids": {0: "batch", 2: "prompt"},
            "encoder_mask": {0: "batch", 1: "frames"},
            "cross": _each_layer(geometry, {0: "batch", 2: "frames"}),
            "candidates": {},
        },
    )


def with_past_export(
    module: WithPastGraph, geometry: DecoderGeometry, states: DType = "float32"
) -> GraphExport:
    """The step with a cache, traced with six cached positions in seven rows."""
    past = [_cache(geometry, _ROWS, _PAST, states) for _ in range(2 * geometry.layers)]
    cross = _cross(geometry, states)
    beam_index = torch.arange(_BATCH * _BEAMS).reshape(_BATCH, _BEAMS)
    return GraphExport(
        with_past_signature(geometry, states),
        module,
        (_tokens(_BATCH, _BEAMS, _NEW), beam_index, _mask(), cross, past, _candidates(geometry)),
        {
            "input_ids": {0: "batch", 1: "beams", 2: "new"},
            "beam_index": {0: "batch", 1: "beams"},
            "encoder_mask": {0: "batch", 1: "frames"},
            "cross": _each_layer(geometry, {0: "batch", 2: "frames"}),
            "past": _each_layer(geometry, {0: "rows", 2: "past"}),
            "candidates": {},
        },
    )


def decoder_exports(
    decoder: Any,
    cross_attention: CrossAttention,
    geometry: DecoderGeometry,
    states: DType = "float32",
    output_ids: Tensor | None = None,
) -> tuple[GraphExport, GraphExport]:
    """Both decoder graphs; ``output_ids`` int64 are the tokens that their logits are of, None: all."""
    return (
        first_step_export(FirstStepGraph(decoder, cross_attention, output_ids).eval(), geometry, states),
        with_past_export(WithPastGraph(decoder, cross_attention, output_ids).eval(), geometry, states),
    )


def encoder_module(
    model: Any, settings: FeatureSettings, *, max_samples: int = 0, states: DType = "float32"
) -> EncoderGraph:
    """The encoder graph of a checkpoint, in evaluation mode, for audio of up to ``max_samples``."""
    return EncoderGraph(model, settings, max_samples=max_samples, state_type=_TORCH_TYPES[states]).eval()


def _tokens(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.long)


def _mask() -> Tensor:
    return torch.ones((_BATCH, _FRAMES), dtype=torch.bool)


def _candidates(geometry: DecoderGeometry) -> Tensor:
    return torch.tensor(min(_CANDIDATES, geometry.columns))


def _cross(geometry: DecoderGeometry, states: DType) -> list[Tensor]:
    return [_cache(geometry, _BATCH, _FRAMES, states) for _ in range(2 * geometry.layers)]


def _cache(geometry: DecoderGeometry, rows: int, length: int, states: DType) -> Tensor:
    return torch.zeros((rows, geometry.heads, length, geometry.head_dim), dtype=_TORCH_TYPES[states])


def _each_layer(geometry: DecoderGeometry, axes: dict[int, str]) -> list[dict[int, str]]:
    return [dict(axes) for _ in range(2 * geometry.layers)]
