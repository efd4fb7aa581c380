"""Checkpoint in memory -> the three graph files of one precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import UnsupportedModelError
from exporter.onnx.checks import check_graph
from exporter.onnx.export import onnx_from_graph
from exporter.onnx.graph_exports import decoder_exports, encoder_export, encoder_module
from exporter.onnx.passes.project_last_position import project_last_position
from exporter.onnx.passes.share_weights import share_weights
from graphs import (
    CrossAttentionMode,
    DecoderGeometry,
    GraphSignature,
    attention_implementation,
    decoding_faults,
    encoder_state_width,
    find_cross_attention,
    restricted_output,
    traceable,
)
from graphs.precision.blocks import PrecisionAssignment, in_precisions, model_roots
from graphs.signature import DType

DECODER_WEIGHTS = "decoder.onnx.data"
ENCODER_WEIGHTS = "encoder.onnx.data"
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class WrittenGraphs:
    """The contracts of the files that were written."""

    encoder: GraphSignature
    decoder_first_step: GraphSignature
    decoder_with_past: GraphSignature
    cross_attention: CrossAttentionMode


@dataclass(frozen=True)
class WrittenDecoders:
    """The contracts of both decoder files, and how they attend to the encoder."""

    first_step: GraphSignature
    with_past: GraphSignature
    cross_attention: CrossAttentionMode


def require_decoding(checkpoint: Checkpoint) -> None:
    """Let the decoder decode a few tokens in eager, before anything is traced.

    Raises:
        UnsupportedModelError: it cannot, or not with the same result with and without a cache.
    """
    faults = decoding_faults(checkpoint.model.decoder)
    if faults:
        raise UnsupportedModelError(checkpoint.files.source, faults)


def write_graphs(
    checkpoint: Checkpoint,
    geometry: DecoderGeometry,
    *,
    min_samples: int,
    max_samples: int,
    directory: Path,
    on_stage: OnStage,
    assignment: PrecisionAssignment | None = None,
    output_ids: Tensor | None = None,
) -> WrittenGraphs:
    """Export the three graphs to ``directory``.

    Args:
        checkpoint: the loaded model.
        geometry: of its decoder; its output_size goes with ``output_ids``.
        min_samples: shortest audio the encoder takes.
        max_samples: longest audio the bundle is for; position tables reach so far.
        directory: exists; receives encoder.onnx, decoder_first_step.onnx, decoder_with_past.onnx and
            their weight files.
        on_stage: told the name of each graph as its export starts.
        assignment: float16 graphs, with these blocks in float32; None writes float32 ones.
        output_ids: int64, ascending: tokens that the output projection is restricted to; None: all.

    Raises:
        GraphError: a graph cannot be exported or breaks its contract.
    """
    on_stage("encoder")
    encoder = write_encoder(
        checkpoint,
        geometry,
        min_samples=min_samples,
        max_samples=max_samples,
        directory=directory,
        assignment=assignment,
    )
    decoders = write_decoders(checkpoint.model.decoder, geometry, directory, on_stage, assignment, output_ids)
    return WrittenGraphs(encoder, decoders.first_step, decoders.with_past, decoders.cross_attention)


def write_encoder(
    checkpoint: Checkpoint,
    geometry: DecoderGeometry,
    *,
    min_samples: int,
    directory: Path,
    max_samples: int = 0,
    assignment: PrecisionAssignment | None = None,
) -> GraphSignature:
    """Export the encoder graph, which holds the decoder's cross projections."""
    model = checkpoint.model
    # "eager" attention keeps matrix products and softmax visible to graph optimisers, and BERT's
    # masks cannot be traced through "sdpa".
    with (
        attention_implementation(model.encoder, "eager"),
        attention_implementation(model.decoder, "eager"),
        traceable(model.decoder),
        _assigned(model_roots(model), assignment) as states,
    ):
        export = encoder_export(
            encoder_module(model, checkpoint.features, max_samples=max_samples, states=states),
            geometry,
            hidden=encoder_state_width(model.decoder.config),
            min_samples=min_samples,
            states=states,
        )
        onnx_model = onnx_from_graph(export)
    share_weights([onnx_model], directory, ENCODER_WEIGHTS)
    _save(onnx_model, directory, export.signature)
    return export.signature


def write_decoders(
    decoder: PreTrainedModel,
    geometry: DecoderGeometry,
    directory: Path,
    on_stage: OnStage,
    assignment: PrecisionAssignment | None = None,
    output_ids: Tensor | None = None,
) -> WrittenDecoders:
    """Export both decoder graphs onto one weight file; arguments as for ``write_graphs``."""
    cross_attention = find_cross_attention(decoder)
    with (
        attention_implementation(decoder, cross_attention.implementation),
        traceable(decoder),
        restricted_output(decoder, output_ids),
        _assigned({"decoder": decoder}, assignment) as states,
    ):
        exports = decoder_exports(decoder, cross_attention, geometry, states, output_ids)
        models: list[ir.Model] = []
        for export in exports:
            on_stage(export.signature.name)
            model = onnx_from_graph(export)
            project_last_position(model)
            models.append(model)
    share_weights(models, directory, DECODER_WEIGHTS)
    for model, export in zip(models, exports, strict=True):
        _save(model, directory, export.signature)
    return WrittenDecoders(exports[0].signature, exports[1].signature, cross_attention.mode)


@contextmanager
def _assigned(roots: Mapping[str, nn.Module], assignment: PrecisionAssignment | None) -> Iterator[DType]:
    """Let modules run as the assignment says, and tell the type of states and caches."""
    if assignment is None:
        yield "float32"
        return
    with in_precisions(roots, assignment):
        yield "float16"


def _save(model: ir.Model, directory: Path, signature: GraphSignature) -> None:
    path = directory / f"{signature.name}.onnx"
    ir.save(model, path)
    check_graph(path, signature)
