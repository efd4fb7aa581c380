"""Runs ``tensorrt_builder`` in a child process, and turns every way in which that can end into an error."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from exporter.engines.tensorrt_builder import MODULES
from exporter.errors import EngineError
from s2t_runtime.bundles.engine_record import FLAVOURS
from s2t_runtime.machine import describe_machine

_ROOT: Final = Path(__file__).resolve().parents[2]


def missing_modules(flavour: str) -> list[str]:
    """Modules of a flavour's extra that building needs and that are not installed."""
    return [name for name in (MODULES[flavour], "polygraphy") if importlib.util.find_spec(name) is None]


def choose_flavour(asked: str | None) -> str:
    """The flavour asked for, else an installed one: full TensorRT where there is a GPU to build for.

    Raises:
        EngineError: it is not installed; the message is the line to install it.
    """
    if asked is None:
        installed = [name for name in FLAVOURS if not missing_modules(name)]
        if len(installed) == len(FLAVOURS):
            return "tensorrt" if describe_machine().gpus else "tensorrt-rtx"
        if installed:
            return installed[0]
        raise EngineError(
            'TensorRT is not installed; run: pip install "export-s2t[tensorrt-rtx]", which builds without a GPU, or '
            'pip install "export-s2t[tensorrt]" where the engines will run'
        )
    if missing := missing_modules(asked):
        raise EngineError(f'{", ".join(missing)} not installed; run: pip install "export-s2t[{asked}]"')
    return asked


def ask(flavour: str, task: str, request: Mapping[str, Any], *, what: str) -> dict[str, Any]:
    """Have a child do a task of ``tensorrt_builder``.

    Args:
        flavour: "tensorrt" or "tensorrt-rtx".
        task: "describe", "parse" or "build".
        request: what the task needs.
        what: what the child does, for messages: "build encoder".

    Raises:
        EngineError: what the child says, or how it ended.
    """
    message = {**request, "flavour": flavour, "task": task, "parent": os.getpid()}
    done = subprocess.run(
        # -P: a file of the working directory must not stand in for a module.
        [sys.executable, "-P", "-m", "exporter.engines.tensorrt_builder"],
        input=json.dumps(message),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=_environment(flavour),
        check=False,
    )
    if done.returncode != 0:
        raise EngineError(f"the process to {what} {_ending(done.returncode, done.stderr)}")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise EngineError(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result


def _environment(flavour: str) -> dict[str, str]:
    """The child's: this package found as here, and Polygraphy's flavour, which it reads as it is imported."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "POLYGRAPHY_USE_TENSORRT_RTX": str(int(flavour == "tensorrt-rtx")),
    }


def _ending(code: int, stderr: str) -> str:
    said = " ".join(stderr.split("\n")[-3:]).strip()
    last = f": {said}" if said else ""
    if code >= 0:
        return f"ended with exit code {code}{last}"
    if code == -signal.SIGKILL:
        return (
            "was killed, most likely because memory ran out: close other programs, or lower --max-batch and "
            "--max-audio-seconds"
        )
    return f"was ended by {signal.Signals(-code).name}{last}"
