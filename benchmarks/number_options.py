"""Options of a command line that take several numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from exporter.commands.console import comma_names


def numbers_between_commas(kind: Callable[[str], Any]) -> Callable[..., tuple[Any, ...] | None]:
    """The callback of an option that takes numbers above 0 between commas, and may be repeated.

    Args:
        kind: float or int.

    Returns:
        The callback; it raises click.BadParameter, and gives None where the option is absent and has no default.
    """

    def parse(
        context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
    ) -> tuple[Any, ...] | None:
        if not value:
            return None
        try:
            numbers = tuple(kind(name) for name in comma_names(context, parameter, value))
        except ValueError as error:
            raise click.BadParameter(f"{error}: write numbers above 0, with commas between them") from error
        if not numbers or not all(0 < number < float("inf") for number in numbers):
            raise click.BadParameter("write numbers above 0, with commas between them")
        return numbers

    return parse
