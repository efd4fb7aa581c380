"""Bundles with a restricted vocabulary, put together from an encoder that is there and decoders that are exported."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import models as tiny_models
from support.tiny.biased_decoder import add_final_logits_bias
from support.tiny.models import Once, Pair

from exporter import ExportOptions
from exporter.checkpoints.checkpoint import Checkpoint
from exporter.onnx import write_graphs
from exporter.onnx.write_graphs import WrittenDecoders, WrittenGraphs, write_decoders
from exporter.pipeline.bundle_writer import describe_files, write_manifest
from exporter.pipeline.kept_ids import kept_ids
from exporter.pipeline.manifest_builder import Findings, build_manifest
from exporter.pipeline.stored_defaults import stored_defaults
from exporter.reference.audio_limits import min_samples, padding_is_safe
from exporter.tokenizers.files import write_tokenizer
from graphs import decoder_geometry, encoder_signature, encoder_state_width, ids_fed_alone
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.manifest import AudioInfo
from s2t_runtime.bundles.output_vocabulary import OUTPUT_VOCABULARY, write_output_vocabulary

TOKENS = [7, 8, 11, 13, 20, 21, 29, 33, 40, 44, 45, 52, 57]
TIED = Pair("wav2vec2-stable-adapter", "mbart")
CASES = {
    "decoder_with_past": TIED,
    "tied": TIED,
    "untied": Pair("wav2vec2-stable-adapter", "mbart-untied"),
    "bert": Pair("hubert-stable", "bert", hidden=24, do_normalize=False),
    "final_logits_bias": TIED,
}


@dataclass(frozen=True)
class Restricted:
    """A bundle, what it was exported from, and the ids that it can write."""

    checkpoint: Checkpoint
    bundle: Bundle
    ids: list[int]


def open_restricted(path: Path, checkpoint: Checkpoint) -> Restricted:
    """Open a bundle with a restricted vocabulary."""
    bundle = open_bundle(path)
    ids = bundle.output_ids()
    assert ids is not None
    return Restricted(checkpoint, bundle, ids.tolist())


def write_with_past_alone(*args: Any, **named: Any) -> WrittenDecoders:
    """``write_decoders`` in half the time: of the two graphs the one that s2t_runtime loads stands for both."""
    exports, trace = write_graphs.decoder_exports, write_graphs.onnx_from_graph
    traced: list[Any] = []

    def first_trace(export: Any) -> Any:
        if not traced:
            traced.append(trace(export))
        return traced[0].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_graphs, "decoder_exports", lambda *given: exports(*given)[1:] * 2)
        patch.setattr(write_graphs, "onnx_from_graph", first_trace)
        return write_decoders(*args, **named)


def write_restricted(
    checkpoint: Checkpoint, encoder: Path, tokens: list[int], path: Path, *, both: bool = True
) -> None:
    """Write a bundle.

    Args:
        checkpoint: the model; it may differ from the one whose encoder graph is taken in its output projection.
        encoder: holds encoder.onnx and its weights.
        tokens: ids to keep beside those that decoding needs.
        path: of the bundle; must not exist.
        both: decoder graphs, or decoder_with_past in the place of decoder_first_step as well.
    """
    shutil.copytree(encoder, path / "fp32", ignore=shutil.ignore_patterns("decoder*"))
    decoder = checkpoint.model.decoder
    geometry, rate = decoder_geometry(decoder), checkpoint.extractor.sampling_rate
    listed = path.parent / f"{path.name}.tokens"
    listed.write_text("\n".join(map(str, tokens)), encoding="utf-8")
    options = ExportOptions(output=path, vocab_tokens=listed)
    defaults = stored_defaults(checkpoint, options, geometry).options
    ids = kept_ids(checkpoint, options, geometry, defaults, {})
    assert ids is not None
    write_output_vocabulary(path / OUTPUT_VOCABULARY, ids)
    geometry = dataclasses.replace(geometry, output_size=len(ids))
    write = write_decoders if both else write_with_past_alone
    written = write(decoder, geometry, path / "fp32", lambda _: None, output_ids=torch.from_numpy(ids))
    shortest = min_samples(checkpoint)
    findings = Findings(
        geometry,
        AudioInfo(rate, shortest, 10 * rate, padding_is_safe(checkpoint, shortest)),
        defaults,
        {},
        write_tokenizer(checkpoint.tokenizer, path),
        ids_fed_alone(decoder, ()),
        {
            "fp32": WrittenGraphs(
                encoder_signature(geometry, encoder_state_width(decoder.config)),
                written.first_step,
                written.with_past,
                written.cross_attention,
            )
        },
    )
    write_manifest(build_manifest(checkpoint, options, findings, describe_files(path)), path)


def restricted(once: Once, case: str) -> Restricted:
    """The bundle of a key of CASES, made once in a test session."""
    pair = CASES[case]
    checkpoint = tiny_models.load(once, pair)
    if case == "final_logits_bias":
        add_final_logits_bias(checkpoint.model.decoder)
    encoder = tiny_models.encoder_graph(once, pair)
    both = case != "decoder_with_past"
    path = once(
        f"restricted-{case}", lambda path: write_restricted(checkpoint, encoder, TOKENS, path, both=both)
    )
    return open_restricted(path, checkpoint)
