"""Memory over many calls of all lengths: a process that decodes for days must not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT
from support.soak.memory import MOST_MB, MOST_MB_A_LOAD, Mark, risen, risen_later

# A process of its own, without torch: beside its gigabyte no growth would show.
_SCRIPT = """
import dataclasses, json, sys
import numpy as np
from support.soak import memory

mode, bundle, calls, leak = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
held, decode = [], memory._decode

def leaking(model, rng):
    decode(model, rng)
    held.append(np.ones(leak, np.uint8))

if leak:
    memory._decode = leaking
marks = memory.python_marks(np.random.default_rng(1), mode, bundle, calls)
assert "torch" not in sys.modules
print(json.dumps([dataclasses.asdict(one) for one in marks]))
"""


def marks_of(mode: str, bundle: Path, calls: int, leak: int = 0) -> list[Mark]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, mode, str(bundle), str(calls), str(leak)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Mark(**one) for one in json.loads(done.stdout)]


@pytest.mark.broad
@pytest.mark.parametrize("mode", ["one thread", "eight threads", "after errors"])
def test_it_does_not_grow(digits_bundle: Path, mode: str) -> None:
    marks = marks_of(mode, digits_bundle, 600)
    assert risen_later(marks) <= MOST_MB, marks
    middle, last = marks[len(marks) // 2], marks[-1]
    assert last.descriptors <= middle.descriptors
    assert last.threads <= middle.threads


@pytest.mark.broad
def test_it_does_not_grow_over_loads(digits_bundle: Path) -> None:
    marks = marks_of("loading", digits_bundle, 48)
    assert marks[-1].descriptors <= marks[4].descriptors
    assert marks[-1].threads <= marks[4].threads
    assert risen(marks) <= MOST_MB_A_LOAD * 48, marks


@pytest.mark.broad
def test_a_leak_of_forty_kilobytes_a_call_is_seen(digits_bundle: Path) -> None:
    marks = marks_of("one thread", digits_bundle, 240, leak=40_000)
    assert risen_later(marks) > MOST_MB, marks


def test_growth_is_that_of_the_later_half() -> None:
    rising = [Mark(calls, 100 + calls / 100, 5, 1) for calls in range(0, 1000, 50)]
    assert risen_later(rising) == pytest.approx(4.5)
    settled = [Mark(one.calls, min(one.anonymous_mb, 104.0), 5, 1) for one in rising]
    assert risen_later(settled) == 0


def test_what_rises_is_the_least_that_is_held() -> None:
    up_and_down = [Mark(calls, 100 + calls % 7 * 10, 5, 1) for calls in range(30)]
    assert risen(up_and_down) == 0
    leaking = [Mark(one.calls, one.anonymous_mb + one.calls, 5, 1) for one in up_and_down]
    assert risen(leaking) > 15
