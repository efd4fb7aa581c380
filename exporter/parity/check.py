"""Proves a bundle equal to eager PyTorch: its graphs one by one, then whole decodings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from exporter.parity.coverage import beginnings, coverage_for
from exporter.parity.decodings import (
    EXACT,
    LOG_MEL_SCORE_TOLERANCE,
    Allowance,
    compare_beginnings,
    compare_decodings,
    compare_defaults,
)
from exporter.parity.graphs import compare_graphs
from exporter.parity.report import ParityReport
from exporter.parity.steps import compare_steps
from exporter.reference.eager import EagerReference
from exporter.reference.prompt import usual_prompt
from exporter.reference.step_errors import MEASURES, end_tokens
from exporter.reference.utterance import Utterance
from exporter.versions import installed_version
from graphs import DecoderGeometry, LogMelSettings, decoder_geometry
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.manifest import DecoderInfo, Manifest, PrecisionErrors, PrecisionPolicy
from s2t_runtime.model import SpeechToText
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.sessions.onnxruntime.session import OnnxSession

_VERSIONS = ("export-s2t", "torch", "transformers", "onnxruntime")


def check_parity(
    checkpoint: Checkpoint,
    bundle: Path | Bundle,
    *,
    precision: str,
    provider: str = "cpu",
    utterances: Sequence[Utterance] = (),
) -> ParityReport:
    """Compare one precision of a bundle with its checkpoint.

    Args:
        checkpoint: what the bundle was exported from.
        bundle: its directory, or an opened one: an export's, whose manifest is not written before this passed.
        precision: one that the bundle holds.
        provider: execution provider for the decodings; single graphs are compared on the CPU.
        utterances: recordings to decode besides the built-in probes; of int8 in place of them.

    Raises:
        CheckpointError: the checkpoint is another model than the bundle's.
    """
    geometry = decoder_geometry(checkpoint.model.decoder)
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    manifest, output_ids = opened.manifest, opened.output_ids()
    reference = EagerReference(checkpoint, output_ids)
    check_same_model(manifest.decoder, geometry)
    rows = compare_graphs(
        reference,
        opened.root / precision,
        geometry,
        min_samples=manifest.audio.min_samples,
        precision=precision,
        weights=opened.weights_beside(opened.graph_path(precision, "encoder")),
    )
    coverage = coverage_for(manifest.model.parameters)
    policy = opened.precision(precision).policy
    budget = None if policy is None else policy.budget
    session = OnnxSession(opened, precision, provider=provider, threads=None)
    with SpeechToText(opened, session) as model:
        prefers_recordings = policy is not None and MEASURES[policy.base].recordings_alone
        probes = () if prefers_recordings and utterances else coverage.probes(model)
        spoken = [*probes, *utterances]
        allowance = allowance_for(checkpoint, policy)
        decodings = compare_decodings(reference, model, spoken, coverage.option_sets(model), allowance)
        # Tokens that a lower precision may choose otherwise lead away from eager's, the further the longer a text is.
        most_new = coverage.longest_default if policy is None else coverage.max_new_tokens
        shortest = min(spoken, key=lambda utterance: len(utterance.samples))
        if policy is None:
            asked = beginnings(model, checkpoint.model.config.decoder.pad_token_id)
            decodings += compare_beginnings(reference, model, shortest, asked, allowance)
        decodings.append(compare_defaults(reference, model, shortest, most_new, allowance))
        steps = None if policy is None else _steps(reference, session, manifest, spoken, policy)
    versions = {name: installed_version(name) for name in _VERSIONS}
    written = None if output_ids is None else len(output_ids)
    remarks = tuple(checkpoint.origin.remarks_on_reading())
    stands_in = prefers_recordings and not utterances
    return ParityReport(
        precision, provider, versions, rows, decodings, steps, budget, written, stands_in, remarks
    )


def _steps(
    reference: EagerReference,
    session: OnnxSession,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    policy: PrecisionPolicy,
) -> PrecisionErrors:
    """How far a lower precision is off along eager's own tokens."""
    defaults = GenerationOptions.from_dict(manifest.generation)
    return compare_steps(
        reference,
        session,
        utterances,
        usual_prompt(defaults, manifest.languages),
        manifest.decoder.max_positions,
        MEASURES[policy.base],
        end_tokens(defaults),
    )


def allowance_for(checkpoint: Checkpoint, policy: PrecisionPolicy | None = None) -> Allowance:
    """How near a bundle's decodings must come to eager's.

    Args:
        checkpoint: log-mel features have a tolerance of their own.
        policy: its budget on single log-probabilities bounds what a hypothesis, their mean, may be off by; of int8
            the best hypothesis counts, as of single steps the best token does. None is float32.
    """
    behind_log_mel = isinstance(checkpoint.features, LogMelSettings)
    exact = Allowance(LOG_MEL_SCORE_TOLERANCE) if behind_log_mel else EXACT
    if policy is None:
        return exact
    allowed = policy.budget.log_prob_difference
    best_alone = MEASURES[policy.base].tokens == 1
    return Allowance(max(exact.score, allowed), allowed, 1 if best_alone else None)


def check_same_model(stated: DecoderInfo, geometry: DecoderGeometry) -> None:
    """See that a checkpoint is of the bundle's shape.

    Raises:
        CheckpointError: it is not.
    """
    got = (geometry.layers, geometry.heads, geometry.head_dim, geometry.vocab_size)
    wanted = (stated.layers, stated.heads, stated.head_dim, stated.vocab_size)
    if got != wanted:
        raise CheckpointError(
            f"the checkpoint's decoder (layers, heads, head_dim, vocabulary) is {got}, the bundle's {wanted}: "
            "give the checkpoint that the bundle was exported from"
        )
