"""export_checkpoint: checkpoint -> bundle, in named stages."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.companions.languages import find_languages
from exporter.checkpoints.load import load_source
from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.sources.files import OnStage
from exporter.checkpoints.sources.kinds import CheckpointSource, Source
from exporter.errors import ExportError, ParityError
from exporter.onnx.write_graphs import require_decoding
from exporter.options import ExportOptions
from exporter.parity.check import check_parity
from exporter.parity.report import ParityReport, records_json, render_markdown
from exporter.parity.trial import require_generation
from exporter.pipeline.bundle_writer import bundle_directory, check_target, describe_files, write_manifest
from exporter.pipeline.kept_ids import kept_ids
from exporter.pipeline.manifest_builder import Findings, build_manifest
from exporter.pipeline.precision_graphs import AudioLimits, PrecisionGraphs
from exporter.pipeline.stored_defaults import StoredDefaults, stored_defaults
from exporter.pipeline.tokenizer_check import tokenizer_remarks
from exporter.reference.audio_limits import min_samples, padding_is_safe
from exporter.reference.prompt import prompt_ids, usual_prompt
from exporter.reference.recordings import read_recordings
from exporter.reference.step_errors import end_tokens
from exporter.reference.utterance import Utterance
from exporter.tokenizers.files import write_tokenizer
from graphs import DecoderGeometry, decoder_geometry, ids_fed_alone
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.manifest import AudioInfo, Manifest
from s2t_runtime.bundles.output_vocabulary import OUTPUT_VOCABULARY, write_output_vocabulary


@dataclass(frozen=True)
class ExportResult:
    """What an export made."""

    bundle: Path
    manifest: Manifest
    parity: tuple[ParityReport, ...]
    """One report per precision; empty where the check was switched off."""
    stage_times_s: dict[str, float]
    notes: tuple[str, ...] = ()
    """What a user must know of the model before trusting its output: untrained weights, neutral companions, and
    decoding defaults that are not the checkpoint's."""


class StageClock:
    """Tells a listener of each stage as it begins, and keeps the time that each took."""

    def __init__(self, listener: OnStage) -> None:
        """``listener`` is called with each stage's name as it starts."""
        self.times_s: dict[str, float] = {}
        self._listener = listener
        self._name: str | None = None
        self._started_s = 0.0

    def begin(self, name: str) -> None:
        """A stage begins, so the one before it has ended."""
        self.finish()
        self._name, self._started_s = name, time.perf_counter()
        self._listener(name)

    def finish(self) -> None:
        """The last stage has ended."""
        if self._name is not None:
            self.times_s[self._name] = time.perf_counter() - self._started_s
        self._name = None


def export_checkpoint(
    source: str | Source, options: ExportOptions, *, on_stage: OnStage = lambda _: None
) -> ExportResult:
    """Turn a SpeechEncoderDecoderModel into a bundle.

    Args:
        source: a directory in Hugging Face layout or a hub id (``options.revision`` goes with it); or a
            source that says more: ``PairSource``, ``RandomWeightsSource``.
        options: what to write and where.
        on_stage: told the name of each stage as it starts.

    Raises:
        CheckpointError: the checkpoint is missing, unreadable or incomplete.
        UnsupportedModelError: the model cannot be exported; all reasons at once.
        OutputError: the bundle cannot be written where it was asked for.
        GraphError: a graph could not be exported or breaks its contract.
        PrecisionError: the model cannot be held in a lower precision that was asked for.
        ParityError: the bundle does not decode as the checkpoint does; nothing is left behind.
    """
    check_target(options.output, force=options.force)
    clock = StageClock(on_stage)
    # The first of the loaders' own stages follows at once.
    checkpoint = load_source(_as_source(source, options), _load_options(options), on_stage=clock.begin)
    require_decoding(checkpoint)
    geometry = decoder_geometry(checkpoint.model.decoder)
    defaults, audio = stored_defaults(checkpoint, options, geometry), _audio(checkpoint, options)
    require_generation(
        checkpoint,
        min_samples=audio.shortest,
        max_positions=geometry.max_positions,
        ignored=options.ignored_generation_options,
        file=defaults.file,
    )
    # A mistake in the user's file of languages, or in the choice of a tokenizer, shows before minutes of graph export.
    languages = _languages(checkpoint, options, geometry)
    remarks = tokenizer_remarks(checkpoint, geometry.vocab_size, languages)
    with bundle_directory(options.output, force=options.force) as directory:
        findings = _write_files(checkpoint, options, geometry, defaults, languages, audio, directory, clock)
        files = describe_files(directory)
        reports: tuple[ParityReport, ...] = ()
        if options.check:
            clock.begin("check parity with eager PyTorch")
            # Without a manifest the directory does not open, should the export be killed before this passed.
            unproved = build_manifest(checkpoint, options, findings, files)
            reports = _prove(checkpoint, options, Bundle(directory, unproved), audio.recordings)
        clock.begin("put the bundle in place")
        manifest = build_manifest(
            checkpoint,
            options,
            findings,
            describe_files(directory, known=files),
            parity="passed" if options.check else "not checked",
        )
        write_manifest(manifest, directory)
    clock.finish()
    notes = (*checkpoint.origin.notes(), *defaults.notes, *remarks)
    return ExportResult(options.output, manifest, reports, clock.times_s, notes)


def _as_source(source: str | Source, options: ExportOptions) -> Source:
    if isinstance(source, str):
        return CheckpointSource(source, options.revision)
    if options.revision is not None:
        raise ExportError(
            f"revision {options.revision} goes with a checkpoint given by its name alone: "
            f"name it in {type(source).__name__}"
        )
    return source


def _load_options(options: ExportOptions) -> LoadOptions:
    return LoadOptions(
        ignored_generation_options=options.ignored_generation_options,
        ignored_weights=options.ignored_weights,
        tokenizer=options.tokenizer,
        feature_extractor=options.feature_extractor,
        normalize=options.normalize,
    )


def _languages(checkpoint: Checkpoint, options: ExportOptions, geometry: DecoderGeometry) -> dict[str, int]:
    return find_languages(
        checkpoint.files,
        checkpoint.tokenizer,
        checkpoint.model.generation_config,
        vocab_size=geometry.vocab_size,
        given=options.languages,
    )


def _audio(checkpoint: Checkpoint, options: ExportOptions) -> AudioLimits:
    shortest = min_samples(checkpoint)
    rate = checkpoint.features.sampling_rate
    longest = round(options.max_audio_s * rate)
    if longest < shortest:
        raise ExportError(
            f"max_audio_s {options.max_audio_s} is {longest} samples, below the encoder's minimum of {shortest}: "
            "raise --max-audio-seconds"
        )
    recordings = read_recordings(options.audio, min_samples=shortest, max_samples=longest, sampling_rate=rate)
    return AudioLimits(rate, shortest, longest, tuple(recordings))


def _write_files(
    checkpoint: Checkpoint,
    options: ExportOptions,
    geometry: DecoderGeometry,
    defaults: StoredDefaults,
    languages: Mapping[str, int],
    audio: AudioLimits,
    directory: Path,
    clock: StageClock,
) -> Findings:
    output = _restricted(checkpoint, options, geometry, defaults, languages, directory)
    geometry = dataclasses.replace(geometry, output_size=None if output is None else len(output))
    graphs = PrecisionGraphs(
        checkpoint,
        geometry,
        audio,
        usual_prompt(defaults.options, languages),
        end_tokens(defaults.options),
        directory,
        clock.begin,
        budget=options.budget,
        output_ids=output,
    )
    graphs.write(options.precisions)
    clock.begin("write tokenizer and limits")
    detokenizer = write_tokenizer(checkpoint.tokenizer, directory)
    padding_safe = padding_is_safe(checkpoint, audio.shortest)
    info = AudioInfo(audio.rate, audio.shortest, audio.longest, padding_safe)
    policies = {precision: found.record for precision, found in graphs.policies.items()}
    stored, changed = defaults.options, defaults.changed
    alone = ids_fed_alone(checkpoint.model.decoder, prompt_ids(stored, languages))
    return Findings(geometry, info, stored, languages, detokenizer, alone, graphs.written, policies, changed)


def _restricted(
    checkpoint: Checkpoint,
    options: ExportOptions,
    geometry: DecoderGeometry,
    defaults: StoredDefaults,
    languages: Mapping[str, int],
    directory: Path,
) -> Tensor | None:
    """The ids that the output projection keeps, written down for hosts; None: all."""
    ids = kept_ids(checkpoint, options, geometry, defaults.options, languages)
    if ids is None:
        return None
    write_output_vocabulary(directory / OUTPUT_VOCABULARY, ids)
    return torch.from_numpy(ids)


def _prove(
    checkpoint: Checkpoint, options: ExportOptions, bundle: Bundle, recordings: Sequence[Utterance]
) -> tuple[ParityReport, ...]:
    reports = tuple(
        check_parity(checkpoint, bundle, precision=precision, utterances=recordings)
        for precision in options.precisions
    )
    text = records_json(reports)
    (bundle.root / "parity.json").write_text(text, encoding="utf-8")
    (bundle.root / "parity.md").write_text(
        render_markdown([report.record() for report in reports]), encoding="utf-8"
    )
    failures = [f"{report.precision}: {sentence}" for report in reports for sentence in report.failures()]
    if failures or not all(report.passed for report in reports):
        listed = "".join(f"\n  - {failure}" for failure in failures) or " too many ties"
        raise ParityError(
            "the exported graphs do not decode as eager PyTorch does, so no bundle was written (--no-check "
            f"writes it all the same):{listed}"
        )
    return reports
