"""How many threads a session gets: the cores that affinity leaves, and no more than a cgroup's quota."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime as ort
import pytest
from support.cpp.machines import MACHINES, MachineCase, write_tree

import s2t_runtime
from s2t_runtime.bundles.bundle import open_bundle
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
    for threads in (None, 1):
        s2t_runtime.load(digits_bundle, threads=threads).close()
    assert [one.intra_op_num_threads for one in asked] == [3, 3, 1, 1]


@pytest.mark.parametrize(
    ("asked", "version", "entries"),
    [
        (None, "1.26.0", {"allow_spinning": "1", "spin_duration_us": "50"}),
        (None, "2.0", {"allow_spinning": "1", "spin_duration_us": "50"}),
        (None, "1.25.1", {"allow_spinning": "0"}),
        (True, "1.25.1", {"allow_spinning": "1"}),
        (True, "1.32.0", {"allow_spinning": "1"}),
        (False, "1.32.0", {"allow_spinning": "0"}),
    ],
)
def test_how_threads_wait(
    digits_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: bool | None,
    version: str,
    entries: dict[str, str],
) -> None:
    """Older versions know of no limit, so that they would spin on: there threads sleep unless they are told to spin."""
    given: dict[str, str] = {}
    real = ort.SessionOptions.add_session_config_entry

    def add(self: ort.SessionOptions, name: str, value: str) -> None:
        given[name] = value
        real(self, name, value)

    monkeypatch.setattr(ort.SessionOptions, "add_session_config_entry", add)
    bundle = open_bundle(digits_bundle)
    fake = type("Old", (), {"__getattr__": lambda _, name: getattr(ort, name), "__version__": version})()
    GraphLoader(fake, "cpu", bundle, "fp32", 1, spin=asked).load("encoder")
    prefix = "session.intra_op."
    assert {
        name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)
    } == entries


def test_the_machine_says_it() -> None:
    assert describe_machine().threads == default_threads()
