"""Gathers what the manifest states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.onnx.export import OPSET
from exporter.onnx.write_graphs import WrittenGraphs
from exporter.options import ExportOptions
from exporter.versions import installed_version
from graphs import CrossAttentionMode, DecoderGeometry, GraphSignature
from s2t_runtime.bundles.manifest import (
    AudioInfo,
    DecoderInfo,
    Detokenizer,
    FileInfo,
    GraphInfo,
    Manifest,
    ModelInfo,
    OutputVocabularyInfo,
    PrecisionInfo,
    PrecisionPolicy,
    TensorInfo,
)
from s2t_runtime.bundles.output_vocabulary import OUTPUT_VOCABULARY
from s2t_runtime.options.generation import GenerationOptions

MAX_CANDIDATES = 3840
"""TensorRT's largest top-k."""
_PACKAGES = (
    "export-s2t",
    "torch",
    "transformers",
    "onnx",
    "onnxscript",
    "onnx-ir",
    "onnxruntime",
    "tokenizers",
)


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the stages of an export found out."""

    geometry: DecoderGeometry
    audio: AudioInfo
    generation: GenerationOptions
    languages: Mapping[str, int]
    detokenizer: Detokenizer | None
    alone_ids: tuple[int, ...]
    """Behind which no forced token may be fed in the same step."""
    graphs: Mapping[str, WrittenGraphs]
    policies: Mapping[str, PrecisionPolicy] = dataclasses.field(default_factory=dict)
    """Of the precisions that are not float32 throughout."""
    changed_defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Generation option -> the checkpoint's value, where ``generation`` has another."""


def build_manifest(
    checkpoint: Checkpoint,
    options: ExportOptions,
    findings: Findings,
    files: Mapping[str, FileInfo],
    *,
    parity: Literal["passed", "not checked"] = "not checked",
) -> Manifest:
    """The manifest of a bundle, whose graphs were compared with eager PyTorch or were not."""
    cross_attention = findings.graphs[options.precisions[0]].cross_attention
    decoder = _decoder_info(findings.geometry, cross_attention, findings.alone_ids)
    return Manifest(
        format_version=decoder.format_version,
        model=_model_info(checkpoint),
        audio=findings.audio,
        graphs={
            precision: precision_info(precision, graphs, findings.policies.get(precision))
            for precision, graphs in findings.graphs.items()
        },
        files=files,
        default_precision=options.precisions[0],
        decoder=decoder,
        generation=findings.generation.to_dict(),
        languages=findings.languages,
        detokenizer=findings.detokenizer,
        provenance=_provenance(checkpoint, options, parity, findings.changed_defaults),
    )


def _decoder_info(
    geometry: DecoderGeometry, cross_attention: CrossAttentionMode, alone_ids: tuple[int, ...]
) -> DecoderInfo:
    size = geometry.output_size
    return DecoderInfo(
        layers=geometry.layers,
        heads=geometry.heads,
        head_dim=geometry.head_dim,
        vocab_size=geometry.vocab_size,
        max_positions=geometry.max_positions,
        cross_attention=cross_attention,
        max_candidates=min(geometry.columns, MAX_CANDIDATES),
        output_vocabulary=None if size is None else OutputVocabularyInfo(OUTPUT_VOCABULARY, size),
        alone_ids=alone_ids,
    )


def _model_info(checkpoint: Checkpoint) -> ModelInfo:
    origin, model = checkpoint.origin, checkpoint.model
    return ModelInfo(
        id=origin.model_id,
        revision=origin.single.revision if origin.single else None,
        architecture=type(model).__name__,
        encoder=str(model.config.encoder.model_type),
        decoder=str(model.config.decoder.model_type),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        licence=origin.licence,
        card_url=origin.single.card_url if origin.single else None,
    )


def precision_info(precision: str, graphs: WrittenGraphs, policy: PrecisionPolicy | None) -> PrecisionInfo:
    """What the manifest says of one precision."""

    def graph_info(signature: GraphSignature) -> GraphInfo:
        return GraphInfo(
            path=f"{precision}/{signature.name}.onnx",
            inputs=tuple(TensorInfo(spec.name, spec.dtype, spec.axes) for spec in signature.inputs),
            outputs=tuple(TensorInfo(spec.name, spec.dtype, spec.axes) for spec in signature.outputs),
        )

    return PrecisionInfo(
        encoder=graph_info(graphs.encoder),
        decoder_first_step=graph_info(graphs.decoder_first_step),
        decoder_with_past=graph_info(graphs.decoder_with_past),
        policy=policy,
    )


def _provenance(
    checkpoint: Checkpoint,
    options: ExportOptions,
    parity: str,
    changed_defaults: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    stored = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        # Where a bundle was first written says nothing of it, and is nobody else's business.
        if field.name not in {"output", "force", "languages", "tokenizer", "feature_extractor"}
    }
    return {
        **checkpoint.origin.provenance(),
        "parity": parity,
        "versions": package_versions(),
        "opset": OPSET,
        "options": {name: _plain(value) for name, value in stored.items()},
        **({"changed_defaults": _plain(changed_defaults)} if changed_defaults else {}),
    }


def package_versions() -> dict[str, str | None]:
    """Of everything that has a part in what a graph looks like."""
    return {name: installed_version(name) for name in _PACKAGES}


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set | tuple | list):
        plain = [_plain(item) for item in value]
        return sorted(plain) if isinstance(value, frozenset | set) else plain
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value.name if isinstance(value, Path) else value
