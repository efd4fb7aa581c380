"""A round of the soak: exports are killed at random moments. What stands there is always a whole bundle, or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from support.places import ROOT
from support.soak.child import BUNDLE
from support.soak.outcome import Outcome
from support.soak.readers import copied

import s2t_runtime
from s2t_runtime.errors import S2TError

KILLS = 4
TURNS = ("export", "replace", "add a precision")
_CHECKPOINT = ROOT / "examples" / "digits" / "checkpoint"
_RECORDING = ROOT / "examples" / "digits" / "recordings" / "several_digits_42.wav"
_LONGEST_S = 400.0


@dataclass(frozen=True)
class Work:
    """A command that writes to ``target``."""

    name: str
    arguments: tuple[str, ...]
    exists: bool
    """Whether a whole bundle stands there before."""


def run(rng: np.random.Generator, folder: Path, turn: str) -> Outcome:
    """One command, run to its end once, then killed again and again, then run to its end beside what is left."""
    outcome, target = Outcome(), folder / "bundle"
    work = next(one for one in _works(target) if one.name == turn)
    outcome.figures["command"] = work.name
    _prepare(work, target)
    needed_s = _complete(work, outcome)
    wanted = _answer(target)
    for _ in range(KILLS):
        if work.name == "add a precision":  # else there would be nothing to do
            _prepare(work, target)
        _kill(work, float(rng.uniform(0.05, 1.0)) * needed_s)
        outcome.tried[f"kills: {work.name}"] += 1
        _see(target, work, wanted, outcome)
    if work.name == "add a precision":
        _prepare(work, target)
    _complete(work, outcome)
    if _answer(target) != wanted:
        outcome.found.append(f"{work.name}: beside what killed ones left, another bundle comes out")
    return outcome


def _works(target: Path) -> tuple[Work, ...]:
    export = (
        "exporter.commands.export",
        str(_CHECKPOINT),
        "-o",
        str(target),
        "--no-check",
        "--max-audio-seconds",
        "4",
        "--force",
    )
    return (
        Work("export", export, exists=False),
        Work("replace", export, exists=True),
        Work(
            "add a precision",
            ("exporter.commands.export", "--add-precision", "int8", str(target), "--no-check"),
            exists=True,
        ),
    )


def _prepare(work: Work, target: Path) -> None:
    if not work.exists:
        return
    subprocess.run(["rm", "-rf", str(target)], check=True)
    source = Path(os.environ[BUNDLE])
    copied(source, target)


def _start(work: Work) -> subprocess.Popen[str]:
    module, *arguments = work.arguments
    code = f"import sys; from {module} import main; sys.exit(main({arguments!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _complete(work: Work, outcome: Outcome) -> float:
    started = time.monotonic()
    process = _start(work)
    said, _ = process.communicate(timeout=_LONGEST_S)
    outcome.tried[f"whole runs: {work.name}"] += 1
    if process.returncode != 0:
        raise RuntimeError(f"{work.name} failed (exit {process.returncode}): {said[-1500:]}")
    return time.monotonic() - started


def _kill(work: Work, after_s: float) -> None:
    process = _start(work)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _see(target: Path, work: Work, wanted: tuple[int, ...], outcome: Outcome) -> None:
    if not target.exists():
        if work.exists:
            outcome.found.append(f"{work.name}: the bundle that stood there is gone")
        return
    try:
        if _answer(target) != wanted:
            outcome.found.append(f"{work.name}: what stands there decodes otherwise")
    except S2TError as error:
        outcome.found.append(f"{work.name}: what stands there is no whole bundle: {error}")


def _answer(target: Path) -> tuple[int, ...]:
    samples, rate = soundfile.read(_RECORDING, dtype="float32")
    with s2t_runtime.load(target, threads=1, verify="full", precision="fp32") as model:
        return model.generate(samples, sampling_rate=rate, language="de").tokens
