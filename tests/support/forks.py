"""Runs a check in a forked child of the tests' own process, and a script in a process of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from support.places import ROOT

TIMEOUT_S = 60  # of what takes a second: only what hangs takes this long


def in_fork(work: Callable[[], object]) -> str:
    """What ``work`` returned in a forked child, as text, or the traceback of what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the tests' process may run on here
        try:
            said = str(work())
        except BaseException:  # noqa: BLE001 - it is shown in the parent
            said = traceback.format_exc()
        os.write(writing, said.encode()[-4000:])
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], TIMEOUT_S)
    if not ready:
        os.kill(child, signal.SIGKILL)
    said = os.read(reading, 4096).decode() if ready else f"the child hung for {TIMEOUT_S} s"
    os.close(reading)
    os.waitpid(child, 0)
    return said


def run_script(script: str, *args: object, folder: Path) -> str:
    """Standard output of a Python script that must end well, run as a file (spawn needs one)."""
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in (".", "tests", "examples/digits")),
    }
    environment.pop("ORT_DISABLE_TELEMETRY", None)  # the package itself sees to it
    done = subprocess.run(
        [sys.executable, str(path), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
