"""Which round comes next, and the record from which an interrupted soak goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.soak.child import KINDS
from support.soak.outcome import Outcome, Round

LONGEST_ROUND_S = 900.0


def next_of(
    rounds: Sequence[Round], running: Sequence[tuple[str, int]], kinds: Sequence[str]
) -> tuple[str, int]:
    """The kind that has had the least of its share of the time, and the number of its next round."""
    spent: Counter[str] = Counter()
    for one in rounds:
        spent[one.kind] += one.seconds
    usual = dict.fromkeys(kinds, 60.0)
    for kind in kinds:
        done = [one.seconds for one in rounds if one.kind == kind]
        usual[kind] = sum(done) / len(done) if done else usual[kind]
    for kind, _ in running:
        spent[kind] += usual.get(kind, 0.0)
    kind = min(kinds, key=lambda one: (spent[one] / KINDS[one], kinds.index(one)))
    taken = {one.number for one in rounds if one.kind == kind} | {
        number for own, number in running if own == kind
    }
    return kind, next(number for number in range(len(taken) + 1) if number not in taken)


@dataclass
class Running:
    """A round that goes on in a process of its own."""

    kind: str
    number: int
    seed: int
    folder: Path
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, kind: str, number: int, seed: int, directory: Path) -> Running:
        """Begin it in a folder of its own, whose log holds what it says."""
        folder = directory / f"{kind}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "support.soak.child", kind, str(seed), str(number), str(folder)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(kind, number, seed, folder, process)

    def ended(self) -> Round | None:
        """What came of it, or None while it goes on."""
        seconds = time.monotonic() - self.started
        code = self.process.poll()
        if code is None and seconds < LONGEST_ROUND_S:
            return None
        if code is None:
            self.stop()
        outcome = self._outcome(code)
        if not outcome.found:
            shutil.rmtree(self.folder)
        return Round(self.kind, self.number, self.seed, seconds, outcome)

    def stop(self) -> None:
        """End it and all that it began."""
        try:
            subprocess.run(
                ["kill", "-KILL", "--", f"-{self.process.pid}"], check=False, stderr=subprocess.DEVNULL
            )
        finally:
            self.process.wait()

    def _outcome(self, code: int | None) -> Outcome:
        path = self.folder / "outcome.json"
        if code == 0 and path.exists():
            return Outcome.of_record(json.loads(path.read_text(encoding="utf-8")))
        how = (
            "hung"
            if code is None
            else f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with {code}"
        )
        said = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()[-1500:]
        return Outcome(found=[f"the round {how}: {said}"])


def read_rounds(directory: Path) -> list[Round]:
    """All rounds that an earlier run finished."""
    path = directory / "rounds.jsonl"
    if not path.exists():
        return []
    return [
        Round.of_record(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line
    ]


def keep(directory: Path, one: Round) -> None:
    """A line more."""
    with (directory / "rounds.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(one.record()) + "\n")
