"""The part of a command line that says where tokenizer and feature extractor are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--tokenizer",
        metavar="MODEL",
        help="Directory or hub id to take the tokenizer from  [default: the checkpoint's own]",
    ),
    click.option(
        "--feature-extractor",
        metavar="MODEL",
        help="Directory or hub id to take the feature extractor from  [default: the checkpoint's own]",
    ),
)


def companion_options(command: _Command) -> _Command:
    """Give a command the options that name companions in the place of the checkpoint's own."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
