"""Proves a bundle equal to eager PyTorch: its graphs one by one, then whole decodings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import s2t_runtime
from exporter.checkpoint import Checkpoint
from exporter.eager_reference import EagerReference
from exporter.errors import CheckpointError
from exporter.manifest_builder import installed_version
from exporter.parity_generate import Utterance, compare_decodings, option_sets, probe_utterances
from exporter.parity_graphs import compare_graphs
from exporter.parity_report import ParityReport
from graphs import DecoderGeometry, decoder_geometry

_MAX_NEW_TOKENS = 40
_VERSIONS = ("export-s2t", "torch", "transformers", "onnxruntime")


def check_parity(
    checkpoint: Checkpoint,
    bundle: Path,
    *,
    precision: str,
    provider: str = "cpu",
    utterances: Sequence[Utterance] = (),
) -> ParityReport:
    """Compare one precision of a bundle with its checkpoint.

    Args:
        checkpoint: what the bundle was exported from.
        bundle: its directory.
        precision: one that the bundle holds.
        provider: execution provider for the decodings; single graphs are compared on the CPU.
        utterances: recordings to decode besides the built-in probes.

    Raises:
        CheckpointError: the checkpoint is another model than the bundle's.
    """
    geometry = decoder_geometry(checkpoint.model.decoder)
    reference = EagerReference(checkpoint)
    with s2t_runtime.load(bundle, precision=precision, provider=provider) as model:
        _check_same_model(model, geometry)
        audio = model.manifest.audio
        rows = compare_graphs(
            reference, bundle / precision, geometry, min_samples=audio.min_samples, precision=precision
        )
        rate = audio.sampling_rate
        probes = probe_utterances(rate, audio.min_samples / rate, audio.max_samples / rate)
        decodings = compare_decodings(
            reference, model, [*probes, *utterances], option_sets(model, _MAX_NEW_TOKENS)
        )
    versions = {name: installed_version(name) for name in _VERSIONS}
    return ParityReport(precision, provider, versions, rows, decodings)


def _check_same_model(model: s2t_runtime.SpeechToText, geometry: DecoderGeometry) -> None:
    stated = model.manifest.decoder
    got = (geometry.layers, geometry.heads, geometry.head_dim, geometry.vocab_size)
    wanted = (stated.layers, stated.heads, stated.head_dim, stated.vocab_size)
    if got != wanted:
        raise CheckpointError(
            f"the checkpoint's decoder (layers, heads, head_dim, vocabulary) is {got}, the bundle's {wanted}: "
            "give the checkpoint that the bundle was exported from"
        )
