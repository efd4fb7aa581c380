"""add_precision: one more precision for a bundle that exists, without touching what is there."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.load import load_source
from exporter.checkpoints.sources.files import OnStage
from exporter.checkpoints.sources.recorded import load_options_of, source_of
from exporter.errors import OutputError, ParityError
from exporter.options import AddOptions
from exporter.parity.check import check_parity, check_same_model
from exporter.parity.report import ParityReport, records_json, render_markdown
from exporter.pipeline.bundle_writer import describe_files
from exporter.pipeline.manifest_builder import package_versions, precision_info
from exporter.pipeline.precision_graphs import AudioLimits, PrecisionGraphs
from exporter.reference.prompt import usual_prompt
from exporter.reference.recordings import read_recordings
from exporter.reference.step_errors import end_tokens
from exporter.reference.utterance import Utterance
from graphs import decoder_geometry
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.bundles.manifest import Manifest
from s2t_runtime.bundles.verification import MANIFEST_NAME
from s2t_runtime.options.generation import GenerationOptions

_FLOAT32 = "fp32"
_INT8 = "int8"


@dataclass(frozen=True)
class AddResult:
    """What was added."""

    bundle: Path
    manifest: Manifest
    parity: tuple[ParityReport, ...]
    """Of the new precision; empty where the check was switched off."""


def add_precision(options: AddOptions, *, on_stage: OnStage = lambda _: None) -> AddResult:
    """Write the graphs of one more precision into a bundle.

    int8 is made from the bundle's own float32 graphs, where it has them. All that is new lies in a folder of its
    own, and the manifest is replaced last, in one step: whoever opens the bundle meanwhile, or after a kill, finds
    it as it was.

    Args:
        options: what to add.
        on_stage: told the name of each stage as it starts.

    Raises:
        BundleError: the bundle does not open.
        CheckpointError: the checkpoint is missing, or another model than the bundle's.
        OutputError: the bundle has the precision already, or cannot be written.
        PrecisionError: the model cannot be held in it.
        ParityError: the new graphs do not decode as the checkpoint does; the bundle is as before.
    """
    with _locked(options.bundle) as is_same:
        bundle = open_bundle(options.bundle)
        _refuse_present(bundle, options.precision)
        checkpoint = load_source(
            source_of(bundle.manifest, options.against),
            load_options_of(
                bundle.manifest, tokenizer=options.tokenizer, feature_extractor=options.feature_extractor
            ),
            on_stage=on_stage,
        )
        check_same_model(bundle.manifest.decoder, decoder_geometry(checkpoint.model.decoder))
        return _add(bundle, checkpoint, options, on_stage, is_same)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[Callable[[], bool]]:
    """Hold the bundle's directory: two that add at once would lose one of both.

    Yields:
        Whether the directory is still that one: export-s2t --force puts another in its place.
    """
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield lambda: True  # opening the bundle says what is wrong
        return
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        held = os.fstat(descriptor)

        def is_same() -> bool:
            with contextlib.suppress(OSError):
                return os.path.samestat(held, root.stat())
            return False

        yield is_same
    finally:
        os.close(descriptor)


def _refuse_present(bundle: Bundle, precision: str) -> None:
    if precision in bundle.manifest.graphs:
        raise OutputError(
            f"{bundle.root} has {precision} already: add one of those that it lacks, or export again with --force"
        )


def _add(
    bundle: Bundle,
    checkpoint: Checkpoint,
    options: AddOptions,
    on_stage: OnStage,
    is_same: Callable[[], bool],
) -> AddResult:
    target = bundle.root / options.precision
    try:
        working = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=bundle.root))
    except OSError as error:
        raise OutputError(f"{bundle.root} cannot be written: {error.strerror or error}") from error
    named = False
    try:
        recordings = _recordings(bundle.manifest, options)
        graphs = _write(bundle, checkpoint, options, recordings, working, on_stage)
        _refuse_replaced(bundle, options, is_same)
        # The manifest does not name it, so what lies there was left by a kill.
        shutil.rmtree(target, ignore_errors=True)
        (working / options.precision).rename(target)
        manifest = _with(bundle.manifest, options, graphs, target)
        reports = _prove(bundle, checkpoint, manifest, options, recordings, on_stage) if options.check else ()
        manifest = _with(manifest, options, graphs, target)  # once more: parity's report lies there now
        _refuse_replaced(bundle, options, is_same)
        on_stage("name it in the manifest")
        (working / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        (working / MANIFEST_NAME).replace(bundle.root / MANIFEST_NAME)
        named = True
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{bundle.root} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
        if not named and is_same():  # what another bundle has is not ours to delete
            shutil.rmtree(target, ignore_errors=True)
    return AddResult(bundle.root, manifest, reports)


def _refuse_replaced(bundle: Bundle, options: AddOptions, is_same: Callable[[], bool]) -> None:
    """Leave a bundle alone that was put in the place of the one that was opened."""
    if not is_same():
        raise OutputError(
            f"{bundle.root} was replaced while {options.precision} was made for it: the new one is as it was; add the "
            "precision again"
        )


def _recordings(manifest: Manifest, options: AddOptions) -> tuple[Utterance, ...]:
    audio = manifest.audio
    found = read_recordings(
        options.audio,
        min_samples=audio.min_samples,
        max_samples=audio.max_samples,
        sampling_rate=audio.sampling_rate,
    )
    return tuple(found)


def _write(
    bundle: Bundle,
    checkpoint: Checkpoint,
    options: AddOptions,
    recordings: tuple[Utterance, ...],
    working: Path,
    on_stage: OnStage,
) -> PrecisionGraphs:
    manifest = bundle.manifest
    audio, ids = manifest.audio, bundle.output_ids()
    size = None if ids is None else len(ids)
    defaults = GenerationOptions.from_dict(manifest.generation)
    graphs = PrecisionGraphs(
        checkpoint,
        dataclasses.replace(decoder_geometry(checkpoint.model.decoder), output_size=size),
        AudioLimits(audio.sampling_rate, audio.min_samples, audio.max_samples, recordings),
        usual_prompt(defaults, manifest.languages),
        end_tokens(defaults),
        working,
        on_stage,
        output_ids=None if ids is None else torch.tensor(ids),  # a copy: the bundle's is read-only
        budget=options.budget,
        float32=_float32(bundle, working) if options.precision == _INT8 else None,
    )
    graphs.write((options.precision,))
    return graphs


def _float32(bundle: Bundle, working: Path) -> Path | None:
    """The folder of the float32 graphs, which the int8 ones are made from; None: it has none.

    onnx_ir reads no weights behind a link that leaves their folder, nor a file of several names, so it gets a copy.
    """
    if _FLOAT32 not in bundle.manifest.graphs:
        return None
    folder = bundle.root / _FLOAT32
    files = [path for name in bundle.manifest.files if (path := bundle.path_of(name)).parent == folder]
    if not any(path.is_symlink() or path.stat().st_nlink > 1 for path in files):
        return folder
    copied = working / f"{_FLOAT32}-copied"
    copied.mkdir()
    for path in files:
        shutil.copyfile(path, copied / path.name)
    return copied


def _with(manifest: Manifest, options: AddOptions, graphs: PrecisionGraphs, folder: Path) -> Manifest:
    """The manifest with the new precision and the files of its folder, as they are now."""
    precision = options.precision
    found = graphs.policies.get(precision)
    info = precision_info(precision, graphs.written[precision], None if found is None else found.record)
    prefix = f"{precision}/"
    known = {
        name.removeprefix(prefix): file for name, file in manifest.files.items() if name.startswith(prefix)
    }
    files = {f"{prefix}{name}": file for name, file in describe_files(folder, known=known).items()}
    before = manifest.provenance.get("added")
    parity = "passed" if options.check else "not checked"
    added = {
        **(before if isinstance(before, dict) else {}),
        precision: {"versions": package_versions(), "parity": parity},
    }
    return dataclasses.replace(
        manifest,
        graphs={**manifest.graphs, precision: info},
        files={**manifest.files, **files},
        provenance={**manifest.provenance, "added": added},
    )


def _prove(
    bundle: Bundle,
    checkpoint: Checkpoint,
    manifest: Manifest,
    options: AddOptions,
    recordings: tuple[Utterance, ...],
    on_stage: OnStage,
) -> tuple[ParityReport, ...]:
    on_stage("check parity with eager PyTorch")
    proposed = Bundle(bundle.root, manifest)
    report = check_parity(checkpoint, proposed, precision=options.precision, utterances=recordings)
    if not report.passed:
        listed = "".join(f"\n  - {failure}" for failure in report.failures()) or " too many ties"
        raise ParityError(
            f"{options.precision} does not decode as eager PyTorch does, so {bundle.root} was left as it is "
            f"(--no-check adds it all the same):{listed}"
        )
    folder = bundle.root / options.precision
    (folder / "parity.json").write_text(records_json((report,)), encoding="utf-8")
    (folder / "parity.md").write_text(render_markdown([report.record()]), encoding="utf-8")
    return (report,)
