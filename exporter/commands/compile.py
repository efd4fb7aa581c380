"""``compile-s2t BUNDLE``: a bundle's graphs -> TensorRT engines, kept in the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.commands.console import StageLines, user_errors
from exporter.commands.engine_flags import engine_build_options, show_census, show_engines, take_engine_fields
from exporter.engines.options import DEFAULT_PRECISION, EngineOptions
from s2t_runtime.bundles.engine_record import FLAVOURS
from s2t_runtime.sessions.profiles.table import DEFAULT_MAX_AUDIO_S

COMMAND = "compile-s2t"


@click.command(COMMAND)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--flavour",
    type=click.Choice(FLAVOURS),
    help="Full TensorRT builds for the GPU that is here; TensorRT-RTX ahead of time, with none.  "
    "[default: what is installed; of both, full TensorRT where there is a GPU]",
)
@click.option(
    "--precision",
    default=DEFAULT_PRECISION,
    show_default=True,
    help="Precision of the graphs to build from; the bundle must have it.",
)
@click.option(
    "--max-audio-seconds",
    "max_audio_s",
    type=float,
    help=f"Longest utterance.  [default: {DEFAULT_MAX_AUDIO_S:g}, or the bundle's maximum if shorter]",
)
@engine_build_options
@click.option("--force", is_flag=True, help="Build again what is there and matches.")
@click.option("--dry-run", is_flag=True, help="Parse, print what computes in which type, and build nothing.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def main(bundle: Path, *, dry_run: bool, quiet: bool, **arguments: Any) -> None:
    """Build TensorRT engines of the graphs in BUNDLE, which export-s2t wrote.

    They are kept in BUNDLE/engines, in a folder of their own for each flavour, version, precision, set of
    targets and of profiles; engines that match what is asked for are not built again.
    """
    with user_errors(COMMAND):
        options = EngineOptions(**take_engine_fields(arguments), **arguments)
        run(bundle, options, dry_run=dry_run, quiet=quiet)


def run(path: Path, options: EngineOptions, *, dry_run: bool = False, quiet: bool = False) -> None:
    """Compile and print what was made; with ``dry_run`` print the census alone.

    Raises:
        S2TError: it failed; engines that were there are as they were.
    """
    from rich.console import Console  # noqa: PLC0415 - --help needs none of these

    from exporter.engines.build import census_of_bundle, compile_bundle  # noqa: PLC0415
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415
    from s2t_runtime.machine import describe_machine  # noqa: PLC0415

    console = Console(markup=False, emoji=False)  # paths may hold brackets
    bundle = open_bundle(path)
    stages = StageLines(console, quiet=quiet)
    try:
        if dry_run:
            census = census_of_bundle(bundle, options, on_stage=stages)
        else:
            result = compile_bundle(bundle, options, on_stage=stages)
    finally:
        stages.finish()
    if dry_run:
        show_census(console, census)
    elif not quiet:
        show_engines(console, path, result, describe_machine())
