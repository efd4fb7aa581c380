"""What is asked of the driver and of nvidia-smi, and every way in which they do not tell."""

from __future__ import annotations

import ctypes
import subprocess
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.measuring import gpu_device
from benchmarks.measuring.gpu_device import GpuDevice, first_gpu

DEVICE = GpuDevice("0000:3B:00.0", "sm90")


class FakeDriver:
    """libcuda's calls; they write where a pointer says, as C does."""

    def __init__(self, code: int = 0) -> None:
        self.cuInit = lambda _flags: code

    def __getattr__(self, name: str) -> Any:
        return {
            "cuDeviceGet": self._get,
            "cuDeviceGetPCIBusId": self._bus_id,
            "cuDeviceGetAttribute": self._attribute,
        }[name]

    @staticmethod
    def _get(device: Any, index: int) -> int:
        assert index == 0
        device._obj.value = 4
        return 0

    @staticmethod
    def _bus_id(name: Any, size: int, device: Any) -> int:
        assert (size, device.value) == (32, 4)
        name.value = b"0000:3B:00.0"
        return 0

    @staticmethod
    def _attribute(value: Any, attribute: int, device: Any) -> int:
        assert device.value == 4
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0


def test_the_first_gpu_is_what_the_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeDriver())
    assert first_gpu() == DEVICE


def test_a_driver_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeDriver(999))
    with pytest.raises(
        BenchmarkError,
        match=r"^the NVIDIA driver does not describe its first GPU \(CUDA errors 999, 0, 0, 0, 0\)$",
    ):
        first_gpu()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(BenchmarkError, match=r"^the NVIDIA driver cannot be loaded \(libcuda.so.1: cannot"):
        first_gpu()


def test_used_memory_is_asked_of_that_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def run(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "1234\n", "")

    monkeypatch.setattr(gpu_device.subprocess, "run", run)
    assert DEVICE.used_bytes() == 1234 * 2**20
    assert asked[0][:3] == ("nvidia-smi", "-i", "0000:3B:00.0")


@pytest.mark.parametrize(("code", "said"), [(0, "[N/A]\n"), (6, "No devices were found\n")])
def test_no_number(monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    answer = subprocess.CompletedProcess((), code, said, "")
    monkeypatch.setattr(gpu_device.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(BenchmarkError) as caught:
        DEVICE.used_bytes()
    assert str(caught.value) == f"nvidia-smi gives no used memory of GPU 0000:3B:00.0: {said.strip()}"


def test_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(gpu_device.subprocess, "run", missing)
    with pytest.raises(
        BenchmarkError, match=r"^nvidia-smi could not be asked for the GPU's memory \(nvidia-smi\)$"
    ):
        DEVICE.used_bytes()
