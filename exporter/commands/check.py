"""``check-s2t BUNDLE``: numerical parity with eager PyTorch, repeated any time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.checkpoints.sources.recorded import load_options_of, source_of
from exporter.commands.companion_flags import companion_options
from exporter.commands.console import comma_names, quiet_libraries, require_export_extra, user_errors
from exporter.commands.file_lists import FileList, FileListCommand

if TYPE_CHECKING:
    from exporter.parity.report import ParityReport

COMMAND = "check-s2t"


@dataclass(frozen=True)
class CheckRequest:
    """What to compare."""

    bundle: Path
    against: tuple[str, ...]
    """A checkpoint, both halves of a pair, or a configuration; empty takes what the manifest names."""
    audio: tuple[Path, ...]
    """Recordings to decode besides the built-in probes."""
    precisions: tuple[str, ...]
    """Empty: every precision of the bundle."""
    provider: str
    tokenizer: str | None = None
    """Where it is, of a bundle whose own came from a local directory apart from the checkpoint."""
    feature_extractor: str | None = None


@click.command(COMMAND, cls=FileListCommand)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="CHECKPOINT",
    multiple=True,
    help="Directory or hub id; for a pair twice: encoder, then decoder; for random weights the configuration  "
    "[default: what the manifest names]",
)
@click.option(
    "--audio",
    cls=FileList,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE...",
    help="Recordings to decode as well; of int8, in place of the built-in probes: --audio *.wav, behind BUNDLE.",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    callback=comma_names,
    help="Only these precisions  [default: every one of the bundle]",
)
@companion_options
@click.option("--provider", default="cpu", show_default=True, help="Execution provider for the decodings.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def main(*, as_json: bool, **arguments: object) -> None:
    """Compare BUNDLE with the checkpoint it was exported from; exit with 1 where it is out of tolerance."""
    require_export_extra(COMMAND)
    with user_errors(COMMAND):
        reports = run(CheckRequest(**arguments))  # type: ignore[arg-type]  # click has typed each
        click.echo(_render(reports, as_json=as_json))
    sys.exit(0 if all(report.passed for report in reports) else 1)


def _render(reports: list[ParityReport], *, as_json: bool) -> str:
    from exporter.parity.report import records_json, render_markdown  # noqa: PLC0415

    return records_json(reports) if as_json else render_markdown([report.record() for report in reports])


def run(request: CheckRequest) -> list[ParityReport]:
    """One report per precision.

    Raises:
        S2TError: the bundle, the checkpoint or a recording cannot be read.
    """
    from exporter.checkpoints.load import load_source  # noqa: PLC0415 - --help must not wait for torch
    from exporter.parity.check import check_parity  # noqa: PLC0415
    from exporter.reference.recordings import read_recordings  # noqa: PLC0415
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415

    quiet_libraries()
    bundle = open_bundle(request.bundle)
    source = source_of(bundle.manifest, request.against)
    loading = load_options_of(
        bundle.manifest, tokenizer=request.tokenizer, feature_extractor=request.feature_extractor
    )
    for precision in request.precisions:
        bundle.precision(precision)
    audio = bundle.manifest.audio
    utterances = read_recordings(
        request.audio,
        min_samples=audio.min_samples,
        max_samples=audio.max_samples,
        sampling_rate=audio.sampling_rate,
    )
    checkpoint = load_source(source, loading)
    return [
        check_parity(
            checkpoint, bundle, precision=precision, provider=request.provider, utterances=utterances
        )
        for precision in request.precisions or bundle.manifest.graphs
    ]
