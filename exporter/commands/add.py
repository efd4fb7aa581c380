"""``export-s2t --add-precision PRECISION BUNDLE``: one more precision for a bundle that exists."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from exporter.commands.console import StageLines, quiet_libraries, readable_size
from exporter.commands.results import parity_lines, precision_lines
from exporter.options import AddOptions

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.pipeline.add_precision import AddResult

_TAKEN = frozenset(
    {"checkpoint", "added", "against", "audio", "budget", "check", "quiet", "tokenizer", "feature_extractor"}
)
"""Parameters of export-s2t that go with --add-precision."""


def take_addition(arguments: dict[str, Any]) -> AddOptions | None:
    """What to add; its own options are taken out of ``arguments``. None: an export is meant.

    Raises:
        click.UsageError: --against without it, no bundle, or an option of an export.
    """
    precision, against = arguments.pop("added"), arguments.pop("against")
    if precision is None:
        if against:
            raise click.UsageError(
                "--against goes with --add-precision: CHECKPOINT itself is what is exported"
            )
        return None
    context = click.get_current_context()
    others = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _TAKEN
        and context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
    ]
    if others:
        raise click.UsageError(
            f"{', '.join(others)} cannot go with --add-precision: the bundle keeps what its export was told"
        )
    if arguments["checkpoint"] is None:
        raise click.UsageError("--add-precision PRECISION needs the BUNDLE to add it to")
    return AddOptions(
        Path(arguments["checkpoint"]),
        precision,
        against,
        arguments["audio"],
        arguments["budget"],
        bool(arguments["check"]),
        arguments["tokenizer"],
        arguments["feature_extractor"],
    )


def run_addition(options: AddOptions, *, quiet: bool = False) -> None:
    """Add the precision and print what was added.

    Raises:
        S2TError: it could not be added; the bundle is as before.
    """
    from rich.console import Console  # noqa: PLC0415

    from exporter.pipeline.add_precision import add_precision  # noqa: PLC0415

    quiet_libraries(quiet=quiet)
    console = Console(markup=False, emoji=False)  # paths may hold brackets
    stages = StageLines(console, quiet=quiet)
    try:
        result = add_precision(options, on_stage=stages)
    finally:
        stages.finish()
    if not quiet:
        _show(console, options.precision, result)


def _show(console: Console, precision: str, result: AddResult) -> None:
    sizes: dict[str, int] = {}
    for path, info in result.manifest.files.items():
        folder = path.partition("/")[0]
        sizes[folder] = sizes.get(folder, 0) + info.size
    share = f", {sizes[precision] / sizes['fp32']:.2f} of fp32's" if "fp32" in sizes else ""
    lines = [
        f"{result.bundle}: {precision} added, {readable_size(sizes[precision])}{share}",
        *parity_lines(result.parity),
        *precision_lines(result.manifest, (precision,)),
        f"next: run-s2t {shlex.quote(str(result.bundle))} AUDIO.wav --precision {precision}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
