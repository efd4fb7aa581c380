"""The least time of a decoder step: what it must read, over what the memory gives.

A step of a few beams multiplies every weight with a handful of vectors, so that reading the weights bounds it. The
caches and the encoder's keys and values come on top; at a few hundred frames they are small beside the weights.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

from s2t_runtime.bundles.bundle import Bundle

_GIB: Final = 2**30
_CPU_BYTES: Final = _GIB // 2
_REPETITIONS: Final = 20
_WITH_PAST: Final = "decoder_with_past"


@dataclass(frozen=True)
class Bandwidth:
    """Of a device's memory.

    Attributes:
        bytes_per_s: the best of the repetitions, since a floor is what is possible.
        how: it was measured.
    """

    bytes_per_s: float
    how: str


def step_bytes(bundle: Bundle, precision: str) -> int:
    """Bytes of weights that every decoder step reads whole.

    Tables of which a step reads some rows (embeddings that serve Gather alone) do not count; one that is the output
    projection as well does.
    """
    import onnx_ir as ir  # noqa: PLC0415 - the runtime's peers need no onnx

    graph = ir.load(bundle.graph_path(precision, _WITH_PAST)).graph
    return sum(
        value.const_value.nbytes
        for value in graph.initializers.values()
        if value.const_value is not None and not _rows_only(value)
    )


def floor_s(weights: int, bandwidth: Bandwidth) -> float:
    """Seconds that a step takes at least, from its bytes and what the memory gives."""
    return weights / bandwidth.bytes_per_s


def measured_bandwidth(device: Literal["cuda", "cpu"], threads: int | None = None) -> Bandwidth:
    """Measure in a process of its own, so that this one keeps no memory of the device.

    Args:
        device: "cuda" copies within the GPU's memory, "cpu" adds up the numbers of an array.
        threads: of the CPU's.

    Raises:
        PeerError: PyTorch cannot use the device.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_measure, device, threads).result()


def _measure(device: Literal["cuda", "cpu"], threads: int | None) -> Bandwidth:
    if device == "cuda":
        from benchmarks.errors import PeerError  # noqa: PLC0415
        from benchmarks.peers.torch.peer import torch_problem  # noqa: PLC0415

        if problem := torch_problem():
            raise PeerError(problem)
        return copy_bandwidth(_GIB, _REPETITIONS)
    return read_bandwidth(_CPU_BYTES, _REPETITIONS, threads)


def copy_bandwidth(size: int, repetitions: int) -> Bandwidth:
    """Of the GPU's memory: ``size`` bytes are copied within it, which reads them once and writes them once.

    Timed by CUDA events: they are stamped by the device in the order of its stream, so that neither the launch nor the
    host's clock counts. ``size`` must be far beyond the second-level cache (50 MB on an H100).
    """
    import torch  # noqa: PLC0415

    source = torch.zeros(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    elapsed_s = []
    for _ in range(repetitions + 1):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        elapsed_s.append(begin.elapsed_time(end) / 1e3)
    how = f"copies of {size / _GIB:.3g} GiB within the GPU's memory, read and written bytes"
    return _best(2 * size, elapsed_s, how)


def read_bandwidth(size: int, repetitions: int, threads: int | None = None) -> Bandwidth:
    """Of the host's memory: the float32 numbers of ``size`` bytes are added up."""
    import torch  # noqa: PLC0415

    if threads is not None:
        torch.set_num_threads(threads)
    numbers = torch.ones(size // 4, dtype=torch.float32)
    elapsed_s = []
    for _ in range(repetitions + 1):
        started_s = time.perf_counter()
        numbers.sum()
        elapsed_s.append(time.perf_counter() - started_s)
    how = f"sums over {size / _GIB:.3g} GiB of float32, {torch.get_num_threads()} threads"
    return _best(size, elapsed_s, how)


def _best(moved: int, elapsed_s: Sequence[float], how: str) -> Bandwidth:
    return Bandwidth(moved / min(elapsed_s[1:]), how)  # the first one touches the memory


def _rows_only(value: Any) -> bool:
    """Whether a step reads some rows of it alone."""
    uses = value.uses()
    return bool(uses) and all(use.node.op_type == "Gather" and use.idx == 0 for use in uses)
