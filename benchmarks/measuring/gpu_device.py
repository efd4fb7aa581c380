"""The GPU that is measured, and its memory: what the whole device uses with a case, less what it used before.

The driver's figure for the device is read by nvidia-smi, in MiB, once before a case's process starts and again after
its warm-up. The difference holds what the process really costs: weights, buffers, the allocator's reserve (which is
why it is a high-water mark), loaded kernels and the CUDA context, some hundred MB of their own. It is right as long as
nobody else allocates on that GPU meanwhile, and the cases start one after the other. The figure per process that
nvidia-smi and NVML offer would not need that, but in a container they name processes by the ids outside of it, or none.
"""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.errors import BenchmarkError

_DRIVER: Final = "libcuda.so.1"
_CAPABILITY: Final = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_TIMEOUT_S: Final = 20
_MIB: Final = 2**20


@dataclass(frozen=True)
class GpuDevice:
    """The GPU that CUDA calls device 0, whatever CUDA_VISIBLE_DEVICES says.

    Attributes:
        bus_id: on the PCI bus; nvidia-smi numbers GPUs in another order and looks at no variable.
        target: its compute capability, as compile-s2t's targets are written: "sm90".
    """

    bus_id: str
    target: str

    def used_bytes(self) -> int:
        """What the driver counts as used, by all processes.

        Raises:
            BenchmarkError: nvidia-smi cannot be asked, or gives no number.
        """
        query = ("nvidia-smi", "-i", self.bus_id, "--query-gpu=memory.used", "--format=csv,noheader,nounits")
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchmarkError(f"nvidia-smi could not be asked for the GPU's memory ({error})") from error
        said = " ".join((done.stdout + done.stderr).split())
        if done.returncode != 0 or not said.isdecimal():
            raise BenchmarkError(f"nvidia-smi gives no used memory of GPU {self.bus_id}: {said}")
        return int(said) * _MIB


def first_gpu() -> GpuDevice:
    """Ask the driver.

    Raises:
        BenchmarkError: it does not tell.
    """
    driver = _driver()
    device, name = ctypes.c_int(), ctypes.create_string_buffer(32)
    parts = [ctypes.c_int() for _ in _CAPABILITY]
    codes = [
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetPCIBusId(name, len(name), device),
    ]
    for part, attribute in zip(parts, _CAPABILITY, strict=True):
        codes.append(driver.cuDeviceGetAttribute(ctypes.byref(part), attribute, device))
    if any(codes):
        raise BenchmarkError(
            f"the NVIDIA driver does not describe its first GPU (CUDA errors {', '.join(map(str, codes))})"
        )
    return GpuDevice(name.value.decode(), f"sm{parts[0].value}{parts[1].value}")


def _driver() -> Any:
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise BenchmarkError(f"the NVIDIA driver cannot be loaded ({error})") from error
