"""Eight threads share one model while some calls are interrupted, raise or find it closed: the others never notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.forks import run_script
from support.places import ROOT

RECORDING = ROOT / "examples" / "digits" / "recordings" / "several_digits_427.wav"

SCRIPT = """
import os, signal, sys, threading
import s2t_runtime
from s2t_runtime import ClosedError

bundle, audio, kind = sys.argv[1:4]
COUNT = 8

def load():
    if kind == "engines":
        from support.engines.models import ONE, through_double
        from s2t_runtime.bundles.bundle import open_bundle
        return through_double(open_bundle(bundle), *ONE)[0]
    return s2t_runtime.load(bundle, threads=int(kind))

def answer(model, index, **callbacks):
    found = model.generate(audio, language=("de", "cy")[index % 2], num_beams=1 + index % 3, **callbacks)
    return found.tokens, found.score, found.text

def together(work, interrupted=None):
    # What each thread got or raised; one that hangs keeps the script from ending.
    outcomes = [None] * COUNT
    def run(index):
        try:
            outcomes[index] = work(index)
        except BaseException as error:
            outcomes[index] = error
    threads = [threading.Thread(target=run, args=(index,)) for index in range(COUNT)]
    for thread in threads:
        thread.start()
    if interrupted is not None:
        interrupted()
    for thread in threads:
        thread.join()
    return outcomes

def spoil(error, after):
    # A callback that raises when it is called for the time "after".
    calls = []
    def callback(*_):
        calls.append(0)
        if len(calls) == after:
            raise error
        return False
    return callback

model = load()
wanted = [answer(model, index) for index in range(COUNT)]

# Callbacks that raise: the very error comes out of the call that it was raised in, and of no other.
for turn, name in enumerate(("on_token", "stop")):
    errors = {index: (LookupError, KeyboardInterrupt, SystemExit)[index % 3](index) for index in range(1, COUNT, 2)}
    found = together(lambda index: answer(
        model, index, **({name: spoil(errors[index], 1 + turn)} if index in errors else {})))
    for index in range(COUNT):
        if index in errors:
            assert found[index] is errors[index], (turn, index, found[index])
        else:
            assert found[index] == wanted[index], (turn, index, found[index])

# Ctrl-C reaches the main thread in the middle of its call.
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
def interrupted():
    sent = []
    def send(_):
        if not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)  # in this thread, at once
    try:
        answer(model, 0, on_token=send)
    except KeyboardInterrupt:
        return
    raise AssertionError("not interrupted")

assert together(lambda index: answer(model, index), interrupted) == wanted
assert answer(model, 0) == wanted[0]

# Closed while all decode: who is in the middle finishes, and right; who comes later is refused.
answered = threading.Semaphore(0)

def until_closed(index):
    answers = []
    while True:
        try:
            answers.append(answer(model, index))
        except ClosedError as error:
            return answers, str(error)
        answered.release()

def close():
    for _ in range(2 * COUNT):
        answered.acquire()
    model.close()

for index, (answers, said) in enumerate(together(until_closed, close)):
    assert said == "this SpeechToText is closed; load the bundle again to go on decoding"
    assert answers == [wanted[index]] * len(answers), index

print("well")
"""


@pytest.mark.parametrize(
    "kind", ["1", *(pytest.param(kind, marks=pytest.mark.broad) for kind in ("2", "engines"))]
)
def test_what_ends_one_call_ends_no_other(digits_bundle: Path, tmp_path: Path, kind: str) -> None:
    assert run_script(SCRIPT, digits_bundle, RECORDING, kind, folder=tmp_path) == "well\n"
