"""What export-s2t and check-s2t share: how errors end a command, and how progress is shown."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from exporter.checkpoints.sources.kinds import FETCH_STAGES
from s2t_runtime.errors import S2TError

if TYPE_CHECKING:
    from rich.console import Console

EXTRA = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "huggingface_hub", "safetensors")
"""Modules of the "export" extra that both commands need."""


def require_export_extra(command: str) -> None:
    """End the command with the one pip line where the extra is not installed."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        click.echo(
            f'{command}: {", ".join(missing)} not installed; run: pip install "export-s2t[export]"', err=True
        )
        sys.exit(1)


@contextlib.contextmanager
def user_errors(command: str) -> Iterator[None]:
    """Print an S2TError without traceback and exit with 1; anything else is a bug and keeps its own."""
    try:
        yield
    except S2TError as error:
        click.echo(f"{command}: error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo(f"{command}: interrupted; nothing was written", err=True)
        sys.exit(130)


def comma_names(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Callback of list options: they take commas and may be repeated."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def quiet_libraries(*, quiet: bool = False) -> None:
    """Keep the libraries' notes, warnings and transformers' bars out of a command's output.

    The hub's bars show on a terminal, unless ``quiet``: a download of gigabytes must not look like a hang.
    """
    from huggingface_hub.utils import logging as hub_logging  # noqa: PLC0415
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    # What a user should know of a checkpoint, the command says itself.
    warnings.filterwarnings("ignore", module=r"(transformers|peft|torch|huggingface_hub)\b")
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()  # switches off the hub's as well
    if quiet or not sys.stderr.isatty():
        disable_progress_bars()
    else:
        enable_progress_bars()


class StageLines:
    """Shows one stage after the other with its time: a spinner on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        """``quiet`` shows nothing."""
        self._console = console
        self._quiet = quiet
        self._name: str | None = None
        self._started_s = 0.0
        self._status = None if quiet or not console.is_terminal else console.status("")

    def __call__(self, name: str) -> None:
        """A stage begins, so the one before it has ended."""
        self.finish()
        self._name, self._started_s = name, time.perf_counter()
        # The hub's own bars and a spinner would overwrite each other.
        if self._status is not None and name not in FETCH_STAGES:
            self._status.update(f"{name} ...")
            self._status.start()

    def finish(self) -> None:
        """The last stage has ended."""
        if self._status is not None:
            self._status.stop()
        if self._name is not None and not self._quiet:
            self._console.print(
                f"{self._name}  {time.perf_counter() - self._started_s:.1f} s",
                highlight=False,
                soft_wrap=True,
            )
        self._name = None


def readable_size(size: int) -> str:
    """Bytes as people read them: 812 B, 4.1 kB, 1.5 GB."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
