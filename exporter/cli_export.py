"""``export-s2t CHECKPOINT``: checkpoint, pair or configuration -> bundle, parity check included."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.cli_source import source_options, take_source
from exporter.console import (
    StageLines,
    comma_names,
    quiet_libraries,
    readable_size,
    require_export_extra,
    user_errors,
)
from exporter.options import DEFAULT_MAX_AUDIO_S, PRECISIONS, ExportOptions
from exporter.sources import Source

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.pipeline import ExportResult

COMMAND = "export-s2t"


@click.command(COMMAND)
@source_options
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Bundle directory  [default: the model's name]"
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    callback=comma_names,
    default=("fp32",),
    show_default=True,
    help=f"Precisions to write, the first one the default; available: {', '.join(PRECISIONS)}.",
)
@click.option(
    "--max-new-tokens", type=click.IntRange(min=1), help="Length limit stored as the bundle's default."
)
@click.option("--num-beams", type=click.IntRange(min=1), help="Beam count stored as the bundle's default.")
@click.option(
    "--max-audio-seconds",
    type=float,
    default=DEFAULT_MAX_AUDIO_S,
    show_default=True,
    help="Longest utterance accepted; attention memory grows with its square.",
)
@click.option(
    "--languages",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Target languages, as {code: token id or token text}  [default: the checkpoint's own]",
)
@click.option("--check/--no-check", default=True, show_default=True, help="Compare with eager PyTorch.")
@click.option(
    "--ignore-generation-option",
    "ignored",
    multiple=True,
    callback=comma_names,
    metavar="NAME",
    help="Leave out a generation option that is not supported.",
)
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--quiet", is_flag=True, help="Print errors and warnings only.")
def main(**arguments: object) -> None:
    """Turn CHECKPOINT (a directory or a hub id) into a bundle of ONNX graphs, proved equal to eager PyTorch.

    CHECKPOINT holds a SpeechEncoderDecoderModel with its tokenizer and feature extractor. In its place may
    stand a pair of pretrained halves (--encoder and --decoder), whose cross-attention is then untrained, or a
    configuration alone (--random-weights).
    """
    quiet = bool(arguments.pop("quiet"))
    source = take_source(arguments)
    require_export_extra(COMMAND)
    with user_errors(COMMAND):
        run(source, _options(source, arguments), quiet=quiet)


def _options(source: Source, arguments: dict[str, object]) -> ExportOptions:
    given = dict(arguments)
    output = given.pop("output") or Path(source.bundle_name)
    given["ignored_generation_options"] = frozenset(given.pop("ignored"))  # type: ignore[call-overload]
    given["max_audio_s"] = given.pop("max_audio_seconds")
    return ExportOptions(output=output, **given)  # type: ignore[arg-type]  # click has typed each


def run(source: Source, options: ExportOptions, *, quiet: bool = False) -> None:
    """Export and print what was made.

    Raises:
        S2TError: the export failed; nothing was left behind.
    """
    from rich.console import Console  # noqa: PLC0415 - --help needs no rich, and no torch either

    from exporter.pipeline import export_checkpoint  # noqa: PLC0415
    from exporter.versions import untested_versions  # noqa: PLC0415

    console = Console(markup=False, emoji=False)  # paths may hold brackets
    quiet_libraries(quiet=quiet)
    for warning in untested_versions():
        click.echo(f"{COMMAND}: warning: {warning}", err=True)
    stages = StageLines(console, quiet=quiet)
    try:
        result = export_checkpoint(source, options, on_stage=stages)
    finally:
        stages.finish()
    for note in result.notes:  # also with --quiet: who trusts such a model's text is misled
        click.echo(f"{COMMAND}: note: {note}", err=True)
    if not quiet:
        show_result(console, result)


def show_result(console: Console, result: ExportResult) -> None:
    """The closing table: files, sizes, parity, licence, and the next command to type."""
    from rich.table import Table  # noqa: PLC0415

    manifest = result.manifest
    table = Table("file", "size", title=f"{result.bundle}", title_justify="left")
    for path, info in sorted(manifest.files.items()):
        table.add_row(path, readable_size(info.size))
    table.add_section()
    table.add_row("in all", readable_size(sum(info.size for info in manifest.files.values())))
    console.print(table)
    for report in result.parity:
        console.print(
            f"parity {report.precision}: {report.identical} of {len(report.decodings)} decodings with identical "
            f"tokens, {report.ties} ties, largest score difference {report.worst_score_difference:.1e}",
            soft_wrap=True,
            highlight=False,
        )
    if not result.parity:
        console.print("parity: not checked (--no-check); check-s2t does it any time")
    console.print(f"model: {manifest.model.id}, {manifest.model.parameters:,} parameters", highlight=False)
    console.print(f"licence: {manifest.model.licence or 'not stated by the checkpoint'}", highlight=False)
    language = next(iter(sorted(manifest.languages)), None)
    choice = f" --language {language}" if language else ""
    console.print(
        f"next: run-s2t {shlex.quote(str(result.bundle))} AUDIO.wav{choice}", highlight=False, soft_wrap=True
    )
