"""Whoever adds a peer adds one folder: in a copy of the package it is offered and measured, nothing else changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.places import ROOT

import benchmarks

FILE = '''
"""A peer that says one thing, whatever it hears."""

import time

from benchmarks.peers.protocol import Answer, Offer, Run, StageTimes

OFFERS = {"parrot": (Offer("a parrot", "fp32", {"words": 3}),)}


class Parrot:
    threads = 1

    def __init__(self, words):
        self._words = words

    def run(self, task):
        time.sleep(0.002)
        times = StageTimes(0.0001, 0.001, 0.0002, (0.0001,) * (task.tokens - 1), 0.0003, 0.0001, 0.002)
        return Run(times, self._tokens(task))

    def answer(self, task):
        return Answer(self._tokens(task), (-1.0,) * len(task.audio), "it repeats itself")

    def close(self):
        pass

    def _tokens(self, task):
        return ((0, *(self._words for _ in range(task.tokens))),) * len(task.audio)


def open_peer(*, bundle, against, device, threads, words):
    return Parrot(words)
'''


def test_a_peer_is_one_folder(digits_bundle: Path, digits_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(Path(benchmarks.__file__).parent, tmp_path / "benchmarks")
    folder = tmp_path / "benchmarks" / "peers" / "parrot"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "peer.py").write_text(FILE, encoding="utf-8")

    def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, (tmp_path, ROOT, *sys.path)))
        command = [sys.executable, "-c", "from benchmarks.commands.bench import main; main()", *arguments]
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )

    unknown = bench(str(digits_bundle), "--against", str(digits_checkpoint), "--peers", "magic")
    assert "unknown peer magic: choose from eager, compile, ctranslate2, parrot" in unknown.stderr
    counts = "--durations 1 --beams 1 --tokens 4 --warmups 1 --repetitions 2 --threads 1 -o out"
    done = bench(
        str(digits_bundle), "--against", str(digits_checkpoint), "--peers", "parrot", *counts.split()
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "latency.json").read_text(encoding="utf-8"))
    rows = {row["case"]: row for row in record["rows"]}
    assert list(rows) == ["a parrot", "onnxruntime cpu fp32"]
    assert rows["a parrot"]["samples_s"]["total"] == [[0.002], [0.002]]
    assert rows["a parrot"]["tokens"] == [[0, 3, 3, 3, 3]]
    assert set(rows["a parrot"]["parity"]) == {"onnxruntime cpu fp32"}
    assert record["footprints"]["a parrot"]["host"]["VmHWM"] > 0
    assert {"a parrot"} <= {ratio["against"] for ratio in record["ratios"]}
    assert "a parrot: it repeats itself." in done.stdout
