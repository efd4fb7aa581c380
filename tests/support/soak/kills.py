"""A round of the soak: exports are killed at random moments. What stands there is always a whole bundle, or none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from support.places import ROOT
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
    """What export-s2t is asked to do."""

    name: str
    arguments: tuple[str, ...]
    exists: bool
    """Whether a whole bundle stands there before."""


def run(rng: np.random.Generator, folder: Path, turn: str) -> Outcome:
    """One command, run to its end once, then killed again and again, then run to its end beside what is left."""
    outcome, base, target = Outcome(), folder / "base", folder / "bundle"
    _complete(Work("export", _export(base), exists=False), outcome)
    wanted = answer(base)
    work = next(one for one in _works(target) if one.name == turn)
    outcome.figures["command"] = work.name
    reset(work, base, target)
    needed_s = _complete(work, outcome)
    for _ in range(KILLS):
        reset(work, base, target)
        _kill(work, float(rng.uniform(0.05, 1.0)) * needed_s)
        outcome.tried[f"kills: {work.name}"] += 1
        look(target, work, wanted, outcome)
    reset(work, base, target)
    _complete(work, outcome)
    if answer(target) != wanted:
        outcome.found.append(f"{work.name}: beside what killed ones left, another bundle comes out")
    return outcome


def _export(target: Path) -> tuple[str, ...]:
    return (str(_CHECKPOINT), "-o", str(target), "--no-check", "--max-audio-seconds", "4", "--force")


def _works(target: Path) -> tuple[Work, ...]:
    add = ("--add-precision", "int8", str(target), "--against", str(_CHECKPOINT), "--no-check")
    return (
        Work("export", _export(target), exists=False),
        Work("replace", _export(target), exists=True),
        Work("add a precision", add, exists=True),
    )


def reset(work: Work, base: Path, target: Path) -> None:
    """What stood there before the command; what killed ones left beside it stays."""
    shutil.rmtree(target, ignore_errors=True)
    if work.exists:
        copied(base, target)


def _start(work: Work) -> subprocess.Popen[str]:
    code = f"import sys; from exporter.commands.export import main; sys.exit(main({[*work.arguments]!r}))"
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


def look(target: Path, work: Work, wanted: tuple[int, ...], outcome: Outcome) -> None:
    """See that a whole bundle stands there; or none, where none did, or between the two renames of a replacement."""
    whole = target
    if not target.exists():
        aside = sorted(target.parent.glob(f"{target.name}.replaced-*"))
        if not work.exists:
            return
        if work.name != "replace" or not aside:
            outcome.found.append(f"{work.name}: the bundle that stood there is gone")
            return
        whole = aside[-1]
        outcome.tried["kills between two renames"] += 1
    try:
        if answer(whole) != wanted:
            outcome.found.append(f"{work.name}: what stands there decodes otherwise")
    except S2TError as error:
        outcome.found.append(f"{work.name}: what stands there is no whole bundle: {error}")


def answer(target: Path) -> tuple[int, ...]:
    """The tokens that a bundle gives for a recording of the example, every file of it hashed."""
    samples, rate = soundfile.read(_RECORDING, dtype="float32")
    with s2t_runtime.load(target, threads=1, verify="full", precision="fp32") as model:
        return model.generate(samples, sampling_rate=rate, language="de").tokens
