"""What others take of the processors while something is measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.measuring.processor_time import Others, ProcessorTime, others_between, processor_time

TICKS = os.sysconf("SC_CLK_TCK")


def stat(path: Path, *rows: tuple[int, ...]) -> Path:
    lines = [f"cpu{number} {' '.join(map(str, row))}" for number, row in enumerate(rows)]
    path.write_text("\n".join(["cpu  1 1 1 1 1 1 1 1 0 0", *lines, "intr 5 0", ""]), encoding="ascii")
    return path


def test_usable_processors_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    one, other = (
        (TICKS, 2 * TICKS, 3 * TICKS, 100 * TICKS, 7 * TICKS, 4 * TICKS, 5 * TICKS, 6 * TICKS, 9, 9),
        (1,) * 10,
    )
    found = processor_time(stat(tmp_path / "stat", one, other, one))
    assert found is not None
    # User, nice, system and both interrupts of two of them; idle, waiting and stolen are no program's.
    assert (found.busy_s, found.stolen_s, found.whole_s) == (2 * 15, 2 * 6, 2 * 128)
    assert 0 < found.own_s == pytest.approx(time.process_time(), rel=0.5)


@pytest.mark.parametrize("content", [None, "", "cpu 1 1 1 1 1 1 1 1\n", "cpu0 1 2 3\n"])
def test_what_the_system_does_not_count_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    if content is not None:
        (tmp_path / "stat").write_text(content, encoding="ascii")
    assert processor_time(tmp_path / "stat") is None


def test_what_others_took_is_what_is_busy_and_not_ours() -> None:
    before = ProcessorTime(busy_s=100, stolen_s=10, whole_s=1000, own_s=5)
    after = ProcessorTime(busy_s=160, stolen_s=14, whole_s=1100, own_s=35)
    assert others_between(before, after) == Others(programs=0.3, stolen=0.04)
    # Ticks are coarse: never less than nothing.
    assert others_between(before, ProcessorTime(110, 10, 1100, 16)) == Others(0.0, 0.0)


def test_without_two_looks_nothing_is_claimed() -> None:
    one = ProcessorTime(1, 1, 10, 1)
    for before, after in ((None, one), (one, None), (one, one)):
        assert others_between(before, after) is None


@pytest.mark.skipif(processor_time() is None, reason="needs a system that counts its processors' time: Linux")
def test_a_childs_work_is_ours() -> None:
    before = processor_time()
    code = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    after = processor_time()
    assert before is not None
    assert after is not None
    assert after.own_s - before.own_s > 0.45
    found = others_between(before, after)
    assert found is not None
    assert 0 <= found.programs <= 1
