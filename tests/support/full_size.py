"""What the tests at the real size need of the machine, and the memory of a loaded bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.places import ROOT

from benchmarks.measuring.peer_process import PeerProcess
from benchmarks.peers.protocol import Case, Task

DATA = ROOT / "tests" / "data"
# Three graphs of 5.8 GB of weights, with eager beside them.
NEEDED_BYTES = {"xls-r-300m": 9 << 30, "xls-r-1b": 17 << 30}


def available_bytes() -> int:
    """Memory that the system can give."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return 1024 * int(fields["MemAvailable"].split()[0])


def require_memory(name: str, needed_bytes: int) -> None:
    """Skip where the machine has less."""
    available = available_bytes()
    if available < needed_bytes:
        pytest.skip(f"{name} needs {needed_bytes >> 30} GiB of free memory, {available >> 30} GiB are")


def memory_after(bundle: Path, precision: str, tasks: Sequence[Task]) -> Mapping[str, int]:
    """Of a process that loads a precision of the bundle and decodes these, with all of the machine's cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS")
        settings = {"bundle": str(bundle), "precision": precision}
        process = PeerProcess(Case("load", "runtime", settings, precision))
    try:
        for task in tasks:
            process.run(task)
        return process.memory()
    finally:
        process.close()
