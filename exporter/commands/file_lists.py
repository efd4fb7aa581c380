"""Options of a command line that take several files, as a shell writes them: ``--audio *.wav``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import click


class FileList(click.Option):
    """An option with ``multiple=True`` that takes further files behind its first, in a FileListCommand."""


class FileListCommand(click.Command):
    """Reads ``--audio a.wav b.wav`` as ``--audio a.wav --audio b.wav``, behind the command's arguments.

    Only there: in ``--audio a.wav BUNDLE`` nothing else could be BUNDLE.
    """

    in_place_of_argument: tuple[str, ...] = ()
    """Options that say what the first argument would, so that it is not still to come."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the option repeated before each file."""
        options = [parameter for parameter in self.params if isinstance(parameter, click.Option)]
        values = {
            flag: 0 if option.is_flag or option.count else option.nargs
            for option in options
            for flag in option.opts
        }
        lists = {flag for option in options if isinstance(option, FileList) for flag in option.opts}
        arguments = len(self.params) - len(options)
        return super().parse_args(ctx, repeated(args, values, lists, arguments, self.in_place_of_argument))


def repeated(
    args: Sequence[str],
    values: Mapping[str, int],
    lists: Collection[str],
    arguments: int,
    in_place_of_argument: Collection[str] = (),
) -> list[str]:
    """Repeat an option that takes a list before each of its files.

    Args:
        args: the command line, without the program's name.
        values: how many values each flag takes.
        lists: flags that take a list.
        arguments: words that are no option's and come before any list.
        in_place_of_argument: flags that stand in the place of one of these.
    """
    left, awaited = list(args), arguments - any(arg.partition("=")[0] in in_place_of_argument for arg in args)
    written: list[str] = []
    while left and left[0] != "--":
        word = left.pop(0)
        flag, equals, _ = word.partition("=")
        count = 0 if equals else values.get(flag, 0)
        written += [word, *left[:count]]
        del left[:count]
        if not word.startswith("-"):
            awaited -= 1
        while awaited <= 0 and flag in lists and left and not left[0].startswith("-"):
            written += [flag, left.pop(0)]
    return written + left
