"""Keeps what libraries of C print off standard output and standard error, which belong to a command."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Final

_STANDARD: Final = (1, 2)  # output and error


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Send both to nowhere for the time of the block; for a process with one thread that prints."""
    with contextlib.ExitStack() as undo:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # what was written before is to be seen
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
        for descriptor in _STANDARD:
            with contextlib.suppress(OSError):  # the caller closed it
                undo.callback(_restore, descriptor, os.dup(descriptor))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        undo.callback(os.close, nowhere)
        _flush()
        for descriptor in _STANDARD:
            os.dup2(nowhere, descriptor)
        undo.callback(_flush)  # first of all: C keeps what it prints until a buffer is full
        yield


def _restore(descriptor: int, saved: int) -> None:
    os.dup2(saved, descriptor)
    os.close(saved)


def _flush() -> None:
    """Write out what libraries of C have printed so far."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
