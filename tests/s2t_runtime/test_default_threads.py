"""How many threads a session gets: the cores that affinity leaves, and no more than a cgroup's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.cpp.machines import MACHINES, MachineCase, write_tree

import s2t_runtime
from s2t_runtime.default_threads import DefaultThreads, default_threads
from s2t_runtime.machine import describe_machine
from s2t_runtime.sessions.onnxruntime import graph_loader
from s2t_runtime.sessions.onnxruntime.graph_loader import GraphLoader


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in MACHINES.items()])
def test_threads_of_a_machine(case: MachineCase, tmp_path: Path) -> None:
    write_tree(case, tmp_path / "root")
    found = default_threads(tmp_path / "root", case.usable)
    assert found == DefaultThreads(case.count, case.cores, len(case.usable), case.quota)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_the_affinity_of_this_thread_counts(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert default_threads().count == 1
        assert default_threads(tmp_path) == DefaultThreads(1, 1, 1, None)
    finally:
        os.sched_setaffinity(0, before)


def test_the_reason_names_what_it_follows_from() -> None:
    assert DefaultThreads(1, 2, 4, 0.5).reason == (
        "usable processors: 4, their physical cores: 2, quota of the cgroup: 0.5"
    )
    assert DefaultThreads(2, 2, 4, None).reason.endswith("quota of the cgroup: none")


def test_a_session_that_is_told_no_number_takes_it(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_loader, "default_threads", lambda: DefaultThreads(3, 3, 3, None))
    asked = []
    original = GraphLoader._options

    def options(self: GraphLoader) -> object:
        asked.append(original(self))
        return asked[-1]

    monkeypatch.setattr(GraphLoader, "_options", options)
    for threads, spin in ((None, None), (1, None), (1, True), (1, False)):
        s2t_runtime.load(digits_bundle, threads=threads, spin=spin).close()
    entry = "session.intra_op.allow_spinning"
    found = [(one.intra_op_num_threads, one.get_session_config_entry(entry)) for one in asked]
    default = str(int(graph_loader.SPIN))
    assert found == [(3, default)] * 2 + [(1, default)] * 2 + [(1, "1")] * 2 + [(1, "0")] * 2


def test_the_machine_says_it() -> None:
    assert describe_machine().threads == default_threads()
