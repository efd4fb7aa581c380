"""``export-s2t CHECKPOINT``: checkpoint, pair or configuration -> bundle, parity check included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from exporter.checkpoints.sources.kinds import Source
from exporter.commands.add import run_addition, take_addition
from exporter.commands.companion_flags import companion_options
from exporter.commands.console import (
    StageLines,
    comma_names,
    quiet_libraries,
    require_export_extra,
    user_errors,
)
from exporter.commands.engine_flags import (
    ENGINE_FLAGS,
    engine_build_options,
    show_engines,
    take_engine_fields,
)
from exporter.commands.file_lists import FileList, FileListCommand
from exporter.commands.results import show_result
from exporter.commands.source_flags import OTHER_SOURCES, source_options, take_source
from exporter.engines.options import DEFAULT_PRECISION, EngineOptions
from exporter.options import DEFAULT_BUDGET, DEFAULT_MAX_AUDIO_S, PRECISIONS, ExportOptions
from s2t_runtime.bundles.engine_record import FLAVOURS

if TYPE_CHECKING:
    from rich.console import Console

COMMAND = "export-s2t"


class _ExportCommand(FileListCommand):
    in_place_of_argument = OTHER_SOURCES


@click.command(COMMAND, cls=_ExportCommand)
@source_options
@companion_options
@click.option(
    "--normalize/--no-normalize",
    default=None,
    help="Normalise samples to mean 0 and variance 1, or do not  [default: what the feature extractor says]",
)
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
@click.option(
    "--audio",
    cls=FileList,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE...",
    help="Recordings to check with, besides the built-in probes: for parity, and for what fp16 cannot hold; int8 is "
    "judged by recordings alone, where there are any: --audio *.wav, behind CHECKPOINT.",
)
@click.option(
    "--vocab-from",
    cls=FileList,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="TEXT_FILE...",
    help="Let the decoder write the tokens of these texts only, in the target language; behind CHECKPOINT.",
)
@click.option(
    "--vocab-tokens",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The same as a list: one token id a line, or a JSON list.",
)
@click.option(
    "--budget",
    type=float,
    metavar="DIFFERENCE",
    default=DEFAULT_BUDGET,
    show_default=True,
    help="Largest change of a log-probability that fp16 and int8 may cause; what breaks it stays in float32.",
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
@click.option(
    "--ignore-weights",
    "ignored_weights",
    multiple=True,
    callback=comma_names,
    metavar="PATTERN",
    help="Accept weights that the model has no place for, by name (* and ? stand for any text): recorded.",
)
@click.option(
    "--engines",
    type=click.Choice(FLAVOURS),
    help="Build TensorRT engines as the last stage, as compile-s2t does; fp16 where it is written.",
)
@engine_build_options
@click.option(
    "--add-precision",
    "added",
    metavar="PRECISION",
    help="Add a precision to the bundle that stands in place of CHECKPOINT; goes with --against, --audio, --budget, "
    "--no-check.",
)
@click.option(
    "--against",
    metavar="CHECKPOINT",
    multiple=True,
    help="With --add-precision, where the bundle's checkpoint is, as check-s2t takes it  "
    "[default: what the manifest names]",
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
    added = take_addition(arguments)
    if added is not None:
        require_export_extra(COMMAND)
        with user_errors(COMMAND):
            run_addition(added, quiet=quiet)
        return
    source = take_source(arguments)
    require_export_extra(COMMAND)
    with user_errors(COMMAND):
        engines = _engine_options(arguments)
        run(source, _options(source, arguments), quiet=quiet, engines=engines)


def _options(source: Source, arguments: dict[str, object]) -> ExportOptions:
    given = dict(arguments)
    output = given.pop("output") or Path(source.bundle_name)
    given["ignored_generation_options"] = frozenset(given.pop("ignored"))  # type: ignore[call-overload]
    given["max_audio_s"] = given.pop("max_audio_seconds")
    return ExportOptions(output=output, **given)  # type: ignore[arg-type]  # click has typed each


def _engine_options(arguments: dict[str, object]) -> EngineOptions | None:
    """What to build after the export; None: no engines.

    Raises:
        click.UsageError: an option of the build without --engines.
        ExportError: such an option is out of range.
    """
    flavour = arguments.pop("engines")
    given = [flag for name, flag in ENGINE_FLAGS.items() if arguments[name] not in (None, ())]
    if flavour is None and given:
        raise click.UsageError(f"only with --engines FLAVOUR: {', '.join(given)}")
    fields = take_engine_fields(arguments)
    if flavour is None:
        return None
    typed = click.get_current_context().get_parameter_source("max_audio_seconds")
    if typed is not click.core.ParameterSource.DEFAULT and not fields["spans"]:
        fields["max_audio_s"] = arguments["max_audio_seconds"]
    precisions = cast("tuple[str, ...]", arguments["precisions"])
    # Without any the export itself says what is wrong.
    precision = DEFAULT_PRECISION if DEFAULT_PRECISION in precisions or not precisions else precisions[0]
    return EngineOptions(flavour=cast("str", flavour), precision=precision, **fields)


def run(
    source: Source, options: ExportOptions, *, quiet: bool = False, engines: EngineOptions | None = None
) -> None:
    """Export, build engines where asked for, and print what was made.

    Raises:
        S2TError: the export failed, and nothing was left behind; or the engines did, and the bundle stays.
    """
    from rich.console import Console  # noqa: PLC0415 - --help needs no rich, and no torch either

    from exporter.pipeline.export_checkpoint import export_checkpoint  # noqa: PLC0415
    from exporter.versions import untested_versions  # noqa: PLC0415

    console = Console(markup=False, emoji=False)  # paths may hold brackets
    quiet_libraries(quiet=quiet)
    for warning in untested_versions():
        click.echo(f"{COMMAND}: warning: {warning}", err=True)
    if engines is not None:
        from exporter.engines.process import choose_flavour  # noqa: PLC0415

        choose_flavour(engines.flavour)  # not after minutes of export
    stages = StageLines(console, quiet=quiet)
    try:
        result = export_checkpoint(source, options, on_stage=stages)
    finally:
        stages.finish()
    for note in result.notes:  # also with --quiet: who trusts such a model's text is misled
        click.echo(f"{COMMAND}: note: {note}", err=True)
    if not quiet:
        show_result(console, result)
    if engines is not None:
        _compile(console, result.bundle, engines, quiet=quiet)


def _compile(console: Console, bundle: Path, engines: EngineOptions, *, quiet: bool) -> None:
    from exporter.engines.build import compile_bundle  # noqa: PLC0415
    from exporter.errors import EngineError  # noqa: PLC0415
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415
    from s2t_runtime.machine import describe_machine  # noqa: PLC0415

    stages = StageLines(console, quiet=quiet)
    try:
        made = compile_bundle(open_bundle(bundle), engines, on_stage=stages)
    except EngineError as error:
        raise EngineError(
            f"{error}; the bundle {bundle} is whole, without engines: compile-s2t builds them any time"
        ) from error
    finally:
        stages.finish()
    if not quiet:
        show_engines(console, bundle, made, describe_machine())
