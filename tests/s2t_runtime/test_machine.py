"""What is found out about a machine, whatever is missing there."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import pytest

from s2t_runtime import machine
from s2t_runtime.machine import Gpu

H100 = Gpu("NVIDIA H100 80GB HBM3", 81559, "580.1", "9.0")


def test_this_machine() -> None:
    found = machine.describe_machine()
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.cpu.model
    assert found.cpu.logical_cores
    assert found.memory_bytes
    assert found.memory_bytes > 2**28
    assert bool(found.gpus) == (found.gpu_problem is None)


def test_physical_cores_are_counted_over_sockets() -> None:
    block = "processor\t: 0\nmodel name\t: Xeon\nphysical id\t: {}\ncore id\t\t: {}\n"
    text = "\n".join(block.format(socket, core) for socket in (0, 1) for core in (0, 1) for _thread in (0, 1))
    assert machine._cpu_from_text(text) == ("Xeon", 4)
    assert machine._cpu_from_text("") == ("", None)


@pytest.mark.parametrize(
    ("code", "output", "gpus", "problem"),
    [
        (0, "NVIDIA H100 80GB HBM3, 81559, 580.1, 9.0\n", (H100,), None),
        (0, "A, [N/A], 1, 2\n", (Gpu("A", None, "1", "2"),), None),
        (0, "\n", (), "nvidia-smi lists no GPU"),
        (9, "no driver\nloaded", (), "nvidia-smi failed with exit code 9: no driver loaded"),
    ],
)
def test_gpus_are_read_from_nvidia_smi(
    monkeypatch: pytest.MonkeyPatch, code: int, output: str, gpus: tuple[Gpu, ...], problem: str | None
) -> None:
    answer = subprocess.CompletedProcess((), code, output, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    assert machine._gpus() == (gpus, problem)


def test_a_machine_without_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert machine._gpus() == ((), "no NVIDIA driver is installed (nvidia-smi was not found)")


def test_a_driver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(subprocess, "run", hangs)
    gpus, problem = machine._gpus()
    assert gpus == ()
    assert str(problem).startswith("nvidia-smi could not be asked (")


class FakeDriver:
    def __init__(self, code: int) -> None:
        self.code = code

    def cuInit(self, _: int) -> int:  # noqa: N802
        return self.code

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13010
        return 0


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (0, None),
        (100, "the NVIDIA driver shows no GPU to this process"),
        (802, "the NVIDIA driver cannot be used (cuInit failed with CUDA error 802)"),
    ],
)
def test_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch, code: int, problem: str | None) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeDriver(code))
    assert machine.cuda_driver_problem() == problem
    assert machine._cuda_version() == "13.1"


def test_a_machine_without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert machine.cuda_driver_problem() == "no NVIDIA driver found"
    assert machine._cuda_version() is None
