"""The measurement: every case opened and warmed up, then all of them in turns (A B A B), samples kept raw.

In turns, so that what changes with time (clocks, heat, other programs) meets all cases alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from benchmarks.errors import PeerError
from benchmarks.measuring.processor_time import Others
from benchmarks.peers.protocol import Answer, Case, Peer, Run, StageTimes, Task

_Item = TypeVar("_Item")


class MeasuredPeer(Peer, Protocol):
    """A peer in a process of its own."""

    @property
    def load_s(self) -> float:
        """Seconds until it could decode, imports included."""

    def memory(self) -> Mapping[str, int]:
        """Of its process, in bytes."""


@dataclass(frozen=True)
class Repetitions:
    """How often each case decodes each task."""

    warmups: int = 2
    """Untimed: kernels are chosen or compiled for new shapes, caches and clocks come up."""
    timed: int = 10


@dataclass(frozen=True)
class Measurement:
    """One case with one task: raw samples, in the order in which they were taken.

    Attributes:
        case: its name.
        task: its name.
        answer: what it decoded, with scores.
        times: one for each timed repetition; none of a case that only answers.
        steady: whether every repetition found the tokens of ``answer``.
        memory: bytes of the process after its last timed repetition, by name of ``process_memory.FIELDS``; None of a
            case that only answers.
        utterances: that the process had decoded by then.
    """

    case: str
    task: str
    answer: Answer
    times: tuple[StageTimes, ...]
    steady: bool
    memory: Mapping[str, int] | None = None
    utterances: int = 0


@dataclass(frozen=True)
class Footprint:
    """What one case's process costs.

    Attributes:
        load_s: seconds until it could decode.
        warm: bytes of the process after its warm-up, by name of ``process_memory.FIELDS``: every task was decoded,
            and nothing was computed yet that only answers need (the scores of all steps); None of a case without one.
        host: the same after its last decoding.
        device_bytes: of the GPU, after its warm-up; None where it was not measured.
        threads: see ``Peer``.
    """

    load_s: float
    host: Mapping[str, int]
    device_bytes: int | None
    warm: Mapping[str, int] | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Measured:
    """All that was measured, and why the rest was not."""

    measurements: tuple[Measurement, ...]
    footprints: Mapping[str, Footprint]
    failures: Mapping[str, str]
    """Case -> what it said."""
    others: Others | None = None
    """What they took of the processors meanwhile; None where nobody knows."""


@dataclass
class _Entry:
    """A case that is open."""

    case: Case
    peer: MeasuredPeer
    answers: dict[str, Answer]
    device_bytes: int | None
    warm: Mapping[str, int] | None
    utterances: int
    """That its process has decoded."""
    runs: dict[str, list[Run]] = field(default_factory=dict)
    """Task -> timed ones."""
    memory: dict[str, tuple[Mapping[str, int], int]] = field(default_factory=dict)
    """Task -> of the process when it was done with it, and utterances by then."""


def turns(items: Sequence[_Item], repetitions: int) -> Iterator[_Item]:
    """Every item once, then every item again: A B A B."""
    for _ in range(repetitions):
        yield from items


def measure(
    cases: Sequence[Case],
    tasks: Sequence[Task],
    repetitions: Repetitions,
    *,
    start: Callable[[Case], MeasuredPeer],
    device_used: Callable[[], int] | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Measure all cases with all tasks.

    Args:
        cases: in the order of their turns.
        tasks: one after the other.
        repetitions: warm-ups and timed ones.
        start: opens a case's peer; ``PeerProcess`` outside of tests.
        device_used: bytes that are in use on the GPU, by all processes; None where there is none to look at.
        on_stage: told what happens.

    Returns:
        What was measured. A case that fails is left out from there on, with what it said.
    """
    failures: dict[str, str] = {}
    footprints: dict[str, Footprint] = {}
    with ExitStack() as stack:
        entries: dict[str, _Entry] = {}
        for case in cases:
            on_stage(f"open {case.name}")
            with _noted(failures, case.name):
                entries[case.name] = _open(case, tasks, repetitions, start, device_used, stack)
        timed = [entry for entry in entries.values() if entry.case.timed]
        for task in tasks:
            on_stage(f"measure {task.name}")
            _take_turns(timed, task, repetitions.timed, failures)
        for name in [name for name in entries if name not in failures]:
            with _noted(failures, name):
                footprints[name] = _footprint(entries[name])
    measurements = [_measurement(entries[name], task) for task in tasks for name in footprints]
    return Measured(tuple(measurements), footprints, failures)


@contextmanager
def _noted(failures: dict[str, str], case: str) -> Iterator[None]:
    """What a case says when it fails becomes the reason why it is left out."""
    try:
        yield
    except PeerError as error:
        failures[case] = str(error)


def _take_turns(entries: Sequence[_Entry], task: Task, repetitions: int, failures: dict[str, str]) -> None:
    for entry in turns(entries, repetitions):
        if entry.case.name in failures:
            continue
        with _noted(failures, entry.case.name):
            runs = entry.runs.setdefault(task.name, [])
            runs.append(entry.peer.run(task))
            entry.utterances += len(task.audio)
            if len(runs) == repetitions:
                entry.memory[task.name] = (entry.peer.memory(), entry.utterances)


def _open(
    case: Case,
    tasks: Sequence[Task],
    repetitions: Repetitions,
    start: Callable[[Case], MeasuredPeer],
    device_used: Callable[[], int] | None,
    stack: ExitStack,
) -> _Entry:
    before = device_used() if device_used else 0
    peer = start(case)
    stack.callback(peer.close)
    for task in tasks if case.timed else ():
        for _ in range(repetitions.warmups):
            peer.run(task)
    # Before the answers, whose scores some peers keep on the device for all steps.
    used = device_used() - before if device_used else None
    warm = peer.memory() if case.timed else None
    answers = {task.name: peer.answer(task) for task in tasks}
    once = sum(len(task.audio) for task in tasks)
    utterances = once * (1 + repetitions.warmups) if case.timed else once
    return _Entry(case, peer, answers, used, warm, utterances)


def _footprint(entry: _Entry) -> Footprint:
    peer = entry.peer
    return Footprint(peer.load_s, peer.memory(), entry.device_bytes, entry.warm, peer.threads)


def _measurement(entry: _Entry, task: Task) -> Measurement:
    answer, runs = entry.answers[task.name], entry.runs.get(task.name, [])
    steady = all(run.tokens == answer.tokens for run in runs)
    memory, utterances = entry.memory.get(task.name, (None, entry.utterances))
    times = tuple(run.times for run in runs)
    return Measurement(entry.case.name, task.name, answer, times, steady, memory, utterances)
