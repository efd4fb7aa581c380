"""What stays on the device: the encoder's output and the caches never come back between steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s2t_runtime
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.sessions.onnxruntime.session import OnnxSession

pytestmark = pytest.mark.gpu
AUDIO = (0.1 * np.random.default_rng(5).standard_normal((2, 16_000))).astype(np.float32)
LENGTHS = np.array([16_000, 16_000])


@pytest.mark.usefixtures("cuda_provider")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_cuda_providers_caches_are_on_the_gpu(digits_fp16_bundle: Path, precision: str) -> None:
    session = OnnxSession(open_bundle(digits_fp16_bundle), precision, provider="cuda", threads=None)
    encoded = session.encode(AUDIO, LENGTHS)
    assert {value.device_name() for value in (encoded.mask, *encoded.cross)} == {"cuda"}
    state = session.start(encoded)
    state(np.zeros((2, 1, 1), dtype=np.int64), np.array([[0], [1]]), 4)
    for length in (2, 3):
        beams = np.array([[0, 0, 0], [1, 1, 1]]) if length == 2 else np.arange(6).reshape(2, 3)
        state(np.ones((2, 3, 1), dtype=np.int64), beams, 4)
        assert {value.device_name() for value in state.past.values()} == {"cuda"}
        assert {value.shape()[2] for value in state.past.values()} == {length}


@pytest.mark.usefixtures("cuda_provider")
def test_a_run_is_over_when_it_returns(digits_fp16_bundle: Path) -> None:
    """The benchmarks' clock relies on it: waiting for the device afterwards costs next to nothing."""
    import ctypes
    import time

    session = OnnxSession(open_bundle(digits_fp16_bundle), "fp32", provider="cuda", threads=None)
    driver = ctypes.CDLL("libcuda.so.1")
    audio, lengths = np.tile(AUDIO, (1, 20)), LENGTHS * 20  # 20 s: milliseconds of work
    session.encode(audio, lengths)
    busy_s, waited_s = [], []
    for _ in range(5):
        started_s = time.perf_counter()
        session.encode(audio, lengths)
        done_s = time.perf_counter()
        assert driver.cuCtxSynchronize() == 0
        busy_s.append(done_s - started_s)
        waited_s.append(time.perf_counter() - done_s)
    assert min(waited_s) < 0.1 * min(busy_s)


def test_the_engines_buffers_are_on_the_gpu(
    flavour: str, with_engines: Callable[..., Path], digits_fp16_bundle: Path
) -> None:
    from cuda.bindings import runtime

    with s2t_runtime.load(with_engines(digits_fp16_bundle, max_length=64), provider="tensorrt") as model:
        session: Any = model._session
        buffers = session._buffers
        places = [*buffers.encoded.values(), *buffers.caches[0].values(), *buffers.caches[1].values()]
        device = runtime.cudaMemoryType.cudaMemoryTypeDevice
        for place in places:
            error, found = runtime.cudaPointerGetAttributes(place.address)
            assert (error, found.type) == (runtime.cudaError_t.cudaSuccess, device)
        allocated = dict(session._executor._memory)
        for _ in range(3):
            model.generate(list(AUDIO), sampling_rate=16_000, num_beams=5, max_new_tokens=10)
        assert session._executor._memory == allocated  # decoding allocates nothing


def test_closing_engines_frees_the_device(
    flavour: str, with_engines: Callable[..., Path], digits_fp16_bundle: Path
) -> None:
    from cuda.bindings import runtime

    bundle = with_engines(digits_fp16_bundle, max_length=64)
    free = []
    for _ in range(3):
        with s2t_runtime.load(bundle, provider="tensorrt") as model:
            model.generate(AUDIO[0], sampling_rate=16_000, num_beams=5, max_new_tokens=10)
        free.append(runtime.cudaMemGetInfo()[1])
    # The first time brings the context and kernels that stay.
    assert free[2] >= free[1] - 2**20
