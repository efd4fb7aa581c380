"""A round of the soak: calls of all lengths, while memory, descriptors and threads stay what they are."""

from __future__ import annotations

import gc
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from support.soak.child import BUNDLE, CPP_PROGRAM
from support.soak.outcome import Outcome

import s2t_runtime
from s2t_runtime import SpeechToText
from s2t_runtime.errors import S2TError

Generator = np.random.Generator

CALLS, LOADS, FILES = 1200, 120, 500
MOST_MB = 2.0
"""Over the later half of a round: the allocator takes a megabyte now and then. Plans of memory for shapes were 6."""
MOST_MB_A_LOAD = 0.1
"""Of loading and closing; a model that is not let go of would be 20."""
_SAMPLING_RATE = 16000
_SHORTEST_S, _LONGEST_S = 0.3, 15.0
TURNS = ("one thread", "eight threads", "after errors", "loading", "C++")


@dataclass(frozen=True)
class Mark:
    """What the process held behind so many calls."""

    calls: int
    anonymous_mb: float
    descriptors: int
    threads: int


def mark(calls: int, pid: int | str = "self") -> Mark:
    """Of this process, or another one: memory that no file backs, open descriptors, threads."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Mark(calls, int(values["RssAnon"]) / 1024, descriptors, int(values["Threads"]))


def risen_later(marks: list[Mark]) -> float:
    """MB by which the later half of the calls raised what is held."""
    return marks[-1].anonymous_mb - marks[len(marks) // 2].anonymous_mb


def risen(marks: list[Mark]) -> float:
    """MB by which the least that was held rose from the first third to the last: loading goes up and down."""
    third = max(len(marks) // 3, 1)
    return min(one.anonymous_mb for one in marks[-third:]) - min(one.anonymous_mb for one in marks[:third])


def run(rng: Generator, folder: Path, mode: str) -> Outcome:
    """One way of calling."""
    outcome = Outcome()
    if mode == "C++" and CPP_PROGRAM not in os.environ:
        outcome.tried["rounds without C++"] += 1
        return outcome
    if mode == "C++":
        marks = cpp_marks(rng, os.environ[CPP_PROGRAM], os.environ[BUNDLE], folder)
    else:
        marks = python_marks(rng, mode, os.environ[BUNDLE])
    first, last = marks[len(marks) // 2], marks[-1]
    grown = risen(marks) if mode == "loading" else risen_later(marks)
    most = MOST_MB_A_LOAD * last.calls if mode == "loading" else MOST_MB
    outcome.tried[f"calls watched: {mode}"] += last.calls
    outcome.figures[f"MB more at the end of the round: {mode}"] = round(grown, 2)
    if grown > most:
        outcome.found.append(f"{mode}: memory grew by {grown:.1f} MB: {marks}")
    if last.descriptors > first.descriptors or last.threads > first.threads:
        outcome.found.append(f"{mode}: descriptors or threads grow: {first}, {last}")
    return outcome


def speech(rng: Generator) -> Any:
    """Noise of a random length, float32 [samples]: no two calls have the same shapes."""
    return _noise(rng, float(rng.uniform(_SHORTEST_S, _LONGEST_S)))


def _noise(rng: Generator, length_s: float) -> Any:
    return rng.normal(0, 0.1, int(length_s * _SAMPLING_RATE)).astype(np.float32)


def python_marks(rng: Generator, mode: str, bundle: str, calls: int = CALLS) -> list[Mark]:
    """What this process holds while it calls ``bundle`` so often; ``mode`` is one of "one thread", "eight threads",
    "after errors" and "loading".
    """
    if mode == "loading":
        return _marks(min(LOADS, calls), lambda: _load_and_let_go(bundle, rng))
    with s2t_runtime.load(bundle, threads=1, precision="fp32") as model:
        _decode_longest(model, rng)
        if mode == "after errors":
            return _marks(calls, lambda: _fail(model, rng))
        if mode == "one thread":
            return _marks(calls, lambda: _decode(model, rng))
        return _from_threads(model, rng, calls)


def _marks(calls: int, call: Callable[[], None]) -> list[Mark]:
    marks = []
    for number in range(1, calls + 1):
        call()
        if number % max(calls // 24, 1) == 0:
            gc.collect()
            marks.append(mark(number))
    return marks


def _decode(model: SpeechToText, rng: Generator) -> None:
    _decode_samples(model, speech(rng))


def _decode_longest(model: SpeechToText, rng: Generator) -> None:
    """As much memory as any call will want: what comes on top of it is growth."""
    for _ in range(3):
        _decode_samples(model, _noise(rng, _LONGEST_S))


def _decode_samples(model: SpeechToText, samples: Any) -> None:
    model.generate(samples, sampling_rate=_SAMPLING_RATE, num_beams=5, language="de", max_new_tokens=12)


def _load_and_let_go(bundle: str, rng: Generator) -> None:
    with s2t_runtime.load(bundle, threads=2, precision="fp32") as model:
        _decode(model, rng)


def _raise(*_: object) -> bool:
    raise ZeroDivisionError


def _fail(model: SpeechToText, rng: Generator) -> None:
    samples: Any = speech(rng)
    given: dict[str, Any] = {"sampling_rate": _SAMPLING_RATE, "num_beams": 5}
    kind = int(rng.integers(7))
    if kind == 0:
        samples = samples[:30]
    elif kind == 1:
        samples = np.full_like(samples, np.nan)
    elif kind == 2:
        samples, given = b"RIFF" + rng.bytes(400), {}
    elif kind == 3:
        given["stop"] = _raise
    elif kind == 4:
        given["on_token"] = _raise
    elif kind == 5:
        given["num_beamz"] = 5
    else:
        samples = [samples[:8000], samples[:20]]
    try:
        model.generate(samples, **given)
    except (S2TError, ZeroDivisionError, TypeError):
        return
    raise AssertionError(f"error {kind} was not one")


def _from_threads(model: SpeechToText, rng: Generator, calls: int) -> list[Mark]:
    marks: list[Mark] = []
    lock, done, failed = threading.Lock(), [0], []

    def work(own: Generator) -> None:
        try:
            _decode_longest(model, own)
            while True:
                with lock:
                    if done[0] >= calls:
                        return
                    done[0] += 1
                    if done[0] % max(calls // 24, 1) == 0:
                        marks.append(mark(done[0]))
                _decode(model, own)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(own,)) for own in rng.spawn(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return marks


def cpp_marks(rng: Generator, program: str, bundle: str, folder: Path, files: int = FILES) -> list[Mark]:
    """What s2t-cli holds while it decodes so many files, the longest ones first."""
    paths = []
    for number in range(files):
        paths.append(folder / f"{number}.wav")
        samples = _noise(rng, _LONGEST_S) if number < 3 else speech(rng)
        soundfile.write(paths[-1], samples, _SAMPLING_RATE, subtype="PCM_16")
    command = [
        program,
        bundle,
        *map(str, paths),
        "--language",
        "de",
        "--threads",
        "1",
    ]
    command += ["--precision", "fp32", "--json", "--num-beams", "5", "--max-new-tokens", "12"]
    marks: list[Mark] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, 1):
            if number % max(files // 24, 1) == 0 and number < files:
                marks.append(mark(number, process.pid))
    if process.returncode != 0 or number != files:
        raise RuntimeError(f"s2t-cli ended with {process.returncode} behind {number} of {files} files")
    return marks
