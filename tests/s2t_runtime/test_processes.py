"""A model in forked and spawned processes: forks refuse and end as any process does, spawned ones load their own."""

from __future__ import annotations

import copy
import gc
import os
import pickle  # noqa: TID251 - to see that it is refused
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from support.forks import in_fork, run_script
from support.places import ROOT

from s2t_runtime import PickleError, SpeechToText
from s2t_runtime.processes import LoadingProcess, keep_in_forks

RECORDING = ROOT / "examples" / "digits" / "recordings" / "several_digits_427.wav"

REFUSED = (
    r"the model was loaded in process \d+ and is used in process \d+, a fork of it, which has none of its threads: "
    r"load after the fork, in the process that decodes"
)


class Native:
    """Stands for an object with threads of its own: what its destructor did is seen."""

    destroyed = False

    def __del__(self) -> None:
        Native.destroyed = True


def test_a_process_knows_that_it_was_left() -> None:
    process = LoadingProcess()
    process.check()
    assert not process.left
    assert in_fork(lambda: process.left) == "True"
    said = in_fork(process.check)
    assert re.search(rf"^s2t_runtime.errors.SessionError: {REFUSED}$", said, re.MULTILINE), said


def test_what_is_kept_is_destroyed_here_and_in_no_fork() -> None:
    def destroyed() -> bool:
        held.clear()
        gc.collect()
        return Native.destroyed

    held = [Native()]
    keep_in_forks(held[0])
    alive = weakref.ref(held[0])
    Native.destroyed = False
    assert in_fork(destroyed) == "False"
    assert destroyed()
    assert alive() is None


# Forks a child for each way of using and leaving a model, and prints what each said and how it ended.
FORKS = """
import gc, multiprocessing, os, signal, sys, threading, time
import s2t_runtime

bundle, audio, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = s2t_runtime.load(bundle, threads=threads, spin=True)

def decode(one=None, **options):
    return (one or model).generate(audio, language="de", **options).text

def refused():
    try:
        decode()
    except s2t_runtime.SessionError as error:
        return str(error)

def leave_it():
    with model:
        pass
    return "left"

def drop_it():
    global model
    model = None
    gc.collect()
    return "dropped"

def load_another():
    with s2t_runtime.load(bundle, threads=threads) as another:
        return decode(another)

USES = {"nothing": lambda: "unused", "generate": refused, "with": leave_it, "drop": drop_it, "load": load_another}
WAYS = {"sys.exit": sys.exit, "os._exit": os._exit}

def ended(child, name):
    for _ in range(400):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    sys.exit(f"{name}: the child hung")

for decoded in (False, True):
    if decoded:
        wanted = decode()
    pairs = [(use, "sys.exit") for use in (USES if decoded else ("nothing", "generate"))]
    for use, way in [*pairs, ("nothing", "os._exit"), ("generate", "os._exit")]:
        child = os.fork()
        if child == 0:
            sys.stdout.write(f"{use}: {USES[use]()}\\n")
            sys.stdout.flush()
            WAYS[way](7)
        print(f"{use}, {way}, {decoded}: ended {ended(child, use)}", flush=True)
child = multiprocessing.get_context("fork").Process(target=refused)
child.start()
child.join(20)
print(f"multiprocessing: ended {child.exitcode}", flush=True)

# A callback forks while other threads decode: the child unwinds out of generate and ends.
forked = []
def fork(event):
    if not forked:
        forked.append(os.fork())

others = [threading.Thread(target=decode) for _ in range(3)]
for other in others:
    other.start()
try:
    text = decode(on_token=fork)
except s2t_runtime.SessionError as error:
    print(f"callback: {error}", flush=True)
    del error
    sys.exit(7)
for other in others:
    other.join()
print(f"callback: ended {ended(forked[0], 'callback')}", flush=True)
assert text == decode() == wanted
print(f"text: {wanted}")
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_forks_refuse_and_end_normally(digits_bundle: Path, tmp_path: Path, threads: int) -> None:
    lines = run_script(FORKS, digits_bundle, RECORDING, threads, folder=tmp_path).splitlines()
    ends = [line.rpartition(": ended ")[::2] for line in lines if ": ended " in line]
    assert {end for name, end in ends if name != "multiprocessing"} == {"7"}, lines
    assert len(ends) == (2 + 2) + (5 + 2) + 2
    assert ("multiprocessing", "0") in ends
    said = [line.partition(": ")[::2] for line in lines if ": ended " not in line]
    text = dict(said)["text"]
    assert text
    for use, what in said:
        if use in {"generate", "callback"}:
            assert re.fullmatch(REFUSED, what)
        elif use == "load":
            assert what == text
    assert {use for use, _ in said} == {"nothing", "generate", "with", "drop", "load", "callback", "text"}


SPAWN = """
import multiprocessing, sys
import s2t_runtime

def load(bundle):
    global model
    model = s2t_runtime.load(bundle, threads=1)

def decode(audio):
    return model.generate(audio, language="de")

if __name__ == "__main__":
    load(sys.argv[1])
    mine = decode(sys.argv[2])
    with multiprocessing.get_context("spawn").Pool(1, load, (sys.argv[1],)) as pool:
        (theirs,) = pool.map(decode, [sys.argv[2]])
    assert mine.text, mine
    assert mine.hypotheses == theirs.hypotheses
"""


def test_a_spawned_process_loads_its_own_and_sends_results_back(digits_bundle: Path, tmp_path: Path) -> None:
    run_script(SPAWN, digits_bundle, RECORDING, folder=tmp_path)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_is_not_data(model: SpeechToText, digits_bundle: Path, take: object) -> None:
    assert callable(take)
    with pytest.raises(PickleError) as raised:
        take(model)
    assert str(raised.value) == (
        "a loaded model cannot be pickled or copied, because its sessions live in this process alone: hand over the "
        f"path of its bundle, '{digits_bundle}', and load that in the other process"
    )
    assert isinstance(raised.value, TypeError)  # what pickle itself raises


@pytest.mark.parametrize("given", [None, "0"])
def test_telemetry_is_off_unless_it_is_asked_for(given: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    script = "import os, s2t_runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.strip() == (given or "1")
