"""Facts about this machine, read without importing anything that may be missing or broken."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from s2t_runtime.default_threads import DefaultThreads, default_threads

_CPU_FILE: Final = Path("/proc/cpuinfo")
_GPU_QUERY: Final = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version,compute_cap",
    "--format=csv,noheader,nounits",
)
_GPU_TIMEOUT_S: Final = 20  # a driver that wakes up takes seconds
_DRIVER_LIBRARY: Final = "libcuda.so.1"
_NO_DEVICE: Final = 100  # CUDA_ERROR_NO_DEVICE


@dataclass(frozen=True)
class Cpu:
    """The processor; None where the system does not tell."""

    model: str
    physical_cores: int | None
    logical_cores: int | None
    usable_cores: int | None
    """Logical cores that this process may run on; fewer than there are in a container or under taskset."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU, as nvidia-smi reports it."""

    name: str
    memory_mib: int | None
    driver: str
    compute_capability: str


@dataclass(frozen=True)
class Machine:
    """What this machine has."""

    python: str
    system: str
    cpu: Cpu
    memory_bytes: int | None
    gpus: tuple[Gpu, ...]
    gpu_problem: str | None
    """Why no GPU was found; None where one was."""
    cuda: str | None = None
    """The newest CUDA that the driver serves, "13.1"."""
    cuda_problem: str | None = None
    """Why CUDA cannot be used by this process; None where it can."""
    threads: DefaultThreads | None = None
    """What a session gets that is told no number; None in records of older versions."""


def describe_machine() -> Machine:
    """Look at this machine; takes well under a second unless a GPU driver has to wake up."""
    gpus, problem = _gpus()
    cuda_problem = cuda_driver_problem()
    return Machine(
        python=platform.python_version(),
        system=_system(),
        cpu=_cpu(),
        memory_bytes=memory_bytes(),
        gpus=gpus,
        gpu_problem=problem,
        cuda=_cuda_version() if cuda_problem is None else None,
        cuda_problem=cuda_problem,
        threads=default_threads(),
    )


def cuda_driver_problem() -> str | None:
    """Why this process cannot use CUDA, asked of the driver itself; None where it can.

    The driver is what TensorRT and ONNX Runtime will ask, and unlike nvidia-smi it sees what
    CUDA_VISIBLE_DEVICES leaves.
    """
    driver = _cuda_driver()
    if driver is None:
        return "no NVIDIA driver found"
    code = driver.cuInit(0)
    if code == _NO_DEVICE:
        return "the NVIDIA driver shows no GPU to this process"
    return None if code == 0 else f"the NVIDIA driver cannot be used (cuInit failed with CUDA error {code})"


def _cuda_driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(_DRIVER_LIBRARY)
    except OSError:
        return None


def _cuda_version() -> str | None:
    driver, version = _cuda_driver(), ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def installed_versions(names: Iterable[str]) -> dict[str, str | None]:
    """The versions of installed distributions, None for those that are not; nothing is imported."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()} {platform.machine()}"


def _cpu() -> Cpu:
    model, physical = _cpu_from_text(_cpu_text())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Cpu(model or platform.processor() or "unknown", physical, os.cpu_count(), usable)


def _cpu_text() -> str:
    try:
        return _CPU_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu_from_text(text: str) -> tuple[str, int | None]:
    """The model name and the number of physical cores from the text of /proc/cpuinfo."""
    model = ""
    cores = set()
    for block in text.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        fields = {key.strip(): value.strip() for key, _, value in pairs}
        model = model or fields.get("model name", "")
        if "core id" in fields:
            cores.add((fields.get("physical id"), fields["core id"]))
    return model, len(cores) or None


def memory_bytes() -> int | None:
    """Bytes of memory that this machine has; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpus() -> tuple[tuple[Gpu, ...], str | None]:
    try:
        answer = subprocess.run(
            _GPU_QUERY, capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return (), "no NVIDIA driver is installed (nvidia-smi was not found)"
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), f"nvidia-smi could not be asked ({error})"
    if answer.returncode != 0:
        said = " ".join((answer.stderr or answer.stdout).split())
        return (), f"nvidia-smi failed with exit code {answer.returncode}: {said}"
    gpus = tuple(_gpu_from_line(line) for line in answer.stdout.splitlines() if line.count(",") == 3)
    return gpus, None if gpus else "nvidia-smi lists no GPU"


def _gpu_from_line(line: str) -> Gpu:
    name, memory, driver, capability = (part.strip() for part in line.split(","))
    return Gpu(name, int(memory) if memory.isdecimal() else None, driver, capability)
