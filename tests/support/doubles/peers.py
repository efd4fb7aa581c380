"""Peers with scripted times, that write down in which order they were asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.errors import PeerError
from benchmarks.peers.protocol import Answer, Case, Run, StageTimes, Task

TASKS = (Task("short", ("a.wav",), 2.0, 1, 3), Task("long", ("b.wav",), 4.0, 5, 3))
TOKENS = (0, 7, 8, 9)


def case(name: str, precision: str = "fp32", *, timed: bool = True) -> Case:
    return Case(name, "fake", {}, precision, timed)


@dataclass
class Log:
    """What happened, in order, and how much memory of the device is in use."""

    events: list[tuple[str, ...]] = field(default_factory=list)
    device: int = 1000


@dataclass
class FakePeer:
    case: Case
    log: Log
    step_s: float = 0.01
    tokens: tuple[int, ...] = TOKENS
    score: float = -0.5
    fails_in: str = ""
    load_s: float = 1.5
    threads: int | None = 3

    def run(self, task: Task) -> Run:
        self.log.events.append(("run", self.case.name, task.name))
        if self.fails_in == task.name:
            raise PeerError("out of memory")
        self.log.device += 10  # an allocator that keeps what it took
        steps = (self.step_s,) * (task.tokens - 1)
        rest = (0.001, 0.1, 0.02, 0.002, 0.003)
        times = StageTimes(rest[0], rest[1], rest[2], steps, rest[3], rest[4], sum(rest) + sum(steps))
        return Run(times, (self.tokens,))

    def answer(self, task: Task) -> Answer:
        self.log.events.append(("answer", self.case.name, task.name))
        self.log.device += 5000  # scores of all steps
        return Answer((self.tokens,), (self.score,))

    def memory(self) -> dict[str, int]:
        return {"RssAnon": 1, "VmRSS": 2, "VmHWM": 3}

    def close(self) -> None:
        self.log.events.append(("close", self.case.name))
