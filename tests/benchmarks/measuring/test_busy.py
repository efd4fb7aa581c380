"""A busy machine says so."""

from __future__ import annotations

from benchmarks.measuring.busy import Load, busy_notes, current_load
from benchmarks.measuring.processor_time import Others


def test_this_machine() -> None:
    found = current_load()
    assert found.cores >= 1
    assert found.average is None or found.average >= 0


def test_a_quiet_machine_has_nothing_to_say() -> None:
    assert busy_notes(Load(0.4, 2), {"A": 0.05}) == []
    assert busy_notes(Load(None, 2), {}) == []


def test_load_before_the_measurement() -> None:
    assert busy_notes(Load(1.25, 2), {}) == [
        "the machine was busy before the measurement began (load average 1.25 on 2 cores): measure again when it "
        "is idle"
    ]
    assert busy_notes(Load(1.25, 16), {}) == []


def test_others_during_the_measurement() -> None:
    assert busy_notes(Load(0.0, 2), {}, Others(0.06, 0.06)) == [
        "during the measurement other programs took 6% of the processors' time and other machines on the same host 6%: "
        "measure again when it is idle"
    ]
    assert busy_notes(Load(0.0, 2), {}, Others(0.09, 0.01)) == []
    assert busy_notes(Load(0.0, 2), {}, None) == []


def test_wide_spreads_are_named() -> None:
    assert busy_notes(Load(0.0, 2), {"A (2 s, total)": 0.25, "B": 0.1, "C": 0.5}) == [
        "the middle half of the samples spreads over more than 10% of the median in C 50%, A (2 s, total) 25%: smaller "
        "differences mean nothing there"
    ]
    (note,) = busy_notes(Load(0.0, 2), {str(n): 0.2 + n / 10 for n in range(5)})
    assert "in 4 60%, 3 50%, 2 40% and 2 more: " in note
