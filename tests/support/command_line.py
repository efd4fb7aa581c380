"""Runs a command in this process, with whatever click is installed."""

from __future__ import annotations

import inspect
from typing import Any

from click.testing import CliRunner


def runner(**options: Any) -> CliRunner:
    """One that keeps standard error apart, which click does by itself from 8.2 on."""
    if "mix_stderr" in inspect.signature(CliRunner).parameters:
        options["mix_stderr"] = False
    return CliRunner(**options)
