"""The measurement takes turns, keeps raw samples, and goes on without what fails."""

from __future__ import annotations

from typing import Any

import pytest
from support.doubles.peers import TASKS, FakePeer, Log, case

from benchmarks.errors import PeerError
from benchmarks.measuring.interleaved import Measured, Repetitions, measure, turns
from benchmarks.peers.protocol import Answer, Case, Run, Task

CASES = (case("A"), case("B"))


def measured(log: Log, cases: tuple[Case, ...] = CASES, **changes: dict[str, Any]) -> Measured:
    def start(one: Case) -> FakePeer:
        log.device += 100  # weights
        return FakePeer(one, log, **changes.get(one.name, {}))

    return measure(cases, TASKS, Repetitions(2, 3), start=start, device_used=lambda: log.device)


def test_turns() -> None:
    assert list(turns("AB", 3)) == ["A", "B", "A", "B", "A", "B"]


def test_cases_are_warmed_up_and_then_take_turns() -> None:
    log = Log()
    measured(log)
    warm = [("run", name, task) for name in "AB" for task in ("short", "short", "long", "long")]
    asked = [event for event in log.events if event[0] == "run"]
    assert asked[: len(warm)] == warm
    timed = [("run", name, task) for task in ("short", "long") for _ in range(3) for name in "AB"]
    assert asked[len(warm) :] == timed
    assert log.events[-2:] == [("close", "B"), ("close", "A")]


def test_samples_are_kept_raw_and_warm_ups_are_not_among_them() -> None:
    found = measured(Log(), A={"step_s": 0.5})
    assert [(one.case, one.task) for one in found.measurements] == [
        ("A", "short"), ("B", "short"), ("A", "long"), ("B", "long")
    ]  # fmt: skip
    first = found.measurements[0]
    assert [times.steps_s for times in first.times] == [(0.5, 0.5)] * 3
    assert first.answer == Answer(((0, 7, 8, 9),), (-0.5,))
    assert first.steady


def test_memory_of_the_device_is_taken_after_the_warm_up_and_before_the_answers() -> None:
    found = measured(Log())
    # The weights and 10 for each of four warm-ups; what the case before took is not counted.
    assert [one.device_bytes for one in found.footprints.values()] == [140, 140]
    assert found.footprints["A"].host == {"RssAnon": 1, "VmRSS": 2, "VmHWM": 3}
    assert found.footprints["A"].load_s == 1.5
    assert found.footprints["A"].threads == 3


def test_memory_of_the_process_is_taken_when_it_is_done_with_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(FakePeer, "memory", lambda self: {"RssAnon": len(self.log.events)})
    found = measured(log)
    # Two cases with two warm-ups and one answer of both tasks; three turns of two, the first of which is A's.
    assert [one.memory for one in found.measurements if one.case == "A"] == [{"RssAnon": 17}, {"RssAnon": 23}]
    # Six at the opening, three timed ones of each task.
    assert [one.utterances for one in found.measurements if one.case == "B"] == [9, 12]


def test_without_a_device_no_memory_is_claimed() -> None:
    log = Log()
    found = measure(CASES, TASKS, Repetitions(1, 1), start=lambda one: FakePeer(one, log))
    assert {one.device_bytes for one in found.footprints.values()} == {None}


def test_a_case_that_only_answers_is_not_timed() -> None:
    log = Log()
    found = measured(log, (case("A"), case("B", timed=False)))
    assert ("run", "B", "short") not in log.events
    assert [len(one.times) for one in found.measurements] == [3, 0, 3, 0]
    assert [one.memory is None for one in found.measurements] == [False, True, False, True]


def test_tokens_that_change_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakePeer.run

    def drifting(self: FakePeer, task: Task) -> Run:
        found = run(self, task)
        return Run(found.times, ((0, 7, 8, 1),)) if len(self.log.events) > 18 else found

    monkeypatch.setattr(FakePeer, "run", drifting)
    assert [one.steady for one in measured(Log()).measurements] == [True, True, False, False]


def test_a_case_that_cannot_be_opened_is_left_out() -> None:
    def start(one: Case) -> FakePeer:
        if one.name == "A":
            raise PeerError("no GPU")
        return FakePeer(one, Log())

    found = measure(CASES, TASKS, Repetitions(1, 1), start=start)
    assert found.failures == {"A": "no GPU"}
    assert {one.case for one in found.measurements} == {"B"}


def test_a_case_that_fails_later_is_left_out_and_closed() -> None:
    log = Log()
    found = measured(log, A={"fails_in": "long"})
    assert found.failures == {"A": "out of memory"}
    assert {one.case for one in found.measurements} == {"B"}
    assert set(found.footprints) == {"B"}
    assert ("close", "A") in log.events


def test_a_case_that_is_gone_in_the_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()

    def gone(self: FakePeer) -> dict[str, int]:
        if self.case.name == "A" and len(log.events) >= 24:  # all is decoded
            raise PeerError("the process of A ended with exit code -9")
        return {"RssAnon": 1}

    monkeypatch.setattr(FakePeer, "memory", gone)
    found = measured(log)
    assert found.failures == {"A": "the process of A ended with exit code -9"}
    assert set(found.footprints) == {"B"}


def test_a_failure_between_the_turns_ends_the_others_turns_not(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    run = FakePeer.run

    def failing(self: FakePeer, task: Task) -> Run:
        if self.case.name == "A" and len(log.events) > 12:
            raise PeerError("the process of A ended with exit code -9")
        return run(self, task)

    monkeypatch.setattr(FakePeer, "run", failing)
    found = measured(log)
    assert found.failures == {"A": "the process of A ended with exit code -9"}
    assert [len(one.times) for one in found.measurements] == [3, 3]
