"""``optimum-cli export s2t CHECKPOINT OUTPUT``: export-s2t under optimum's command line.

optimum imports every file of ``optimum/commands/register``. The folders above this file have no
``__init__.py``: optimum is a namespace package, and one here would shadow the rest of it. The module is
imported whenever optimum-cli starts, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import copy
from argparse import ArgumentParser

import click
from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.base import ExportCommand


def with_positional_output(export: click.Command) -> click.Command:
    """Export-s2t's command with ``--output`` as its last positional argument, all else as it is.

    Args:
        export: a command with an option named ``output`` and an argument named ``checkpoint``, which
            may be left out.
    """
    output = next(parameter for parameter in export.params if parameter.name == "output")
    arguments = [parameter for parameter in export.params if isinstance(parameter, click.Argument)]
    options = [parameter for parameter in export.params if parameter not in (output, *arguments)]
    # click fills arguments from the left, so that of two the first would take OUTPUT where there is but one.
    checkpoint = click.Argument(["checkpoint"], nargs=-1, metavar="[CHECKPOINT]", callback=_at_most_one)
    command = copy.copy(export)
    command.params = [checkpoint, click.Argument(["output"], type=output.type), *options]
    return command


def _at_most_one(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> str | None:
    if len(given) > 1:
        raise click.UsageError(f"Got unexpected extra arguments ({' '.join(given[1:])})")
    return given[0] if given else None


class S2TExportCommand(BaseOptimumCLICommand):  # type: ignore[misc]  # optimum is not annotated
    """Hands all its arguments to export-s2t, so that both commands take the same options."""

    COMMAND = CommandInfo(
        name="s2t", help="Export a SpeechEncoderDecoderModel to a bundle that decodes without PyTorch."
    )

    @staticmethod
    def parse_args(parser: ArgumentParser) -> None:
        """Take every argument as it is, options and ``--help`` included: click parses them."""
        # No argument begins with this character, so argparse sees no options among them.
        parser.prefix_chars = "\0"
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def run(self) -> None:
        """Run export-s2t; it ends the process with its own exit code."""
        from exporter.commands.export import main  # noqa: PLC0415 - see the module's docstring

        with_positional_output(main).main(args=self.args.arguments, prog_name="optimum-cli export s2t")


REGISTER_COMMANDS = [(S2TExportCommand, ExportCommand)]
