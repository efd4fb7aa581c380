"""What the GPU tests need, each skipped with what the machine itself says is missing."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLAVOURS = ("tensorrt", "tensorrt-rtx")


@pytest.fixture(autouse=True, scope="session")
def gpu() -> str:
    """The target of the first GPU, "sm90"; without a GPU every test is skipped."""
    from benchmarks.measuring.gpu_device import first_gpu
    from s2t_runtime.machine import cuda_driver_problem

    problem = cuda_driver_problem()
    if problem is not None:
        pytest.skip(f"needs an NVIDIA GPU: {problem}")
    return first_gpu().target


@pytest.fixture(scope="session")
def cuda_provider(gpu: str) -> None:
    """ONNX Runtime with its CUDA provider."""
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in providers:
        pytest.skip(f"needs onnxruntime-gpu: this onnxruntime offers {', '.join(providers)}")


@pytest.fixture(scope="session")
def torch_cuda(gpu: str) -> None:
    """PyTorch that can use the GPU, in which float32 means float32."""
    import torch

    from benchmarks.peers.torch.peer import torch_problem

    problem = torch_problem()
    if problem is not None:
        pytest.skip(f"needs PyTorch on the GPU: {problem}")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


@pytest.fixture(scope="session", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest, gpu: str) -> str:
    """A flavour of TensorRT whose engines can run here."""
    from s2t_runtime.sessions.tensorrt.libraries import cuda_python_problem, tensorrt_versions

    name: str = request.param
    _, missing = tensorrt_versions()
    if name in missing:
        pytest.skip(f"needs {name}: it {missing[name]}")
    problem = cuda_python_problem()
    if problem is not None:
        pytest.skip(f"needs cuda-python: {problem}")
    if name == "tensorrt-rtx" and gpu == "sm90":
        pytest.skip(
            "TensorRT-RTX does not name Hopper among the GPUs that it supports; benchmarks.gpu tries it"
        )
    return name


@pytest.fixture(scope="session")
def with_engines(gpu: str, flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``with_engines(bundle)``: a copy of it with fp16 engines of this flavour for this GPU, built once."""

    @functools.cache
    def make(bundle: Path, **options: Any) -> Path:
        from exporter.engines.build import compile_bundle
        from exporter.engines.options import EngineOptions
        from s2t_runtime.bundles.bundle import open_bundle

        root = tmp_path_factory.mktemp(flavour) / "bundle"
        shutil.copytree(bundle, root, ignore=shutil.ignore_patterns("engines"))
        targets = (gpu,) if flavour == "tensorrt-rtx" else None
        compile_bundle(open_bundle(root), EngineOptions(flavour=flavour, targets=targets, **options))
        return root

    return make
