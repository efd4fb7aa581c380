"""ONNX Runtime's execution providers: what each is called, needs and is told. Imports no onnxruntime."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.engine_record import AxisRange, Profile
from s2t_runtime.bundles.manifest import GraphInfo
from s2t_runtime.cache_directory import cache_directory
from s2t_runtime.sessions.profiles.compile_flags import compile_flags
from s2t_runtime.sessions.profiles.limits import ENCODER, WITH_PAST, ProfileLimits
from s2t_runtime.sessions.profiles.table import bounds_of, default_samples, default_sizes, rows_of, table_of

LOWEST_ONNXRUNTIME: Final = (1, 19)
"""Before it graphs cannot be read, or, in 1.18, other tokens come out than the checkpoint's."""
PRODUCTS: Final = frozenset(
    {
        "Attention",
        "Conv",
        "ConvTranspose",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "MatMul",
        "MultiHeadAttention",
    }
)
"""Operators that decide how fast a graph is; a provider that leaves one to another does not run the graph."""


@dataclass(frozen=True)
class ExecutionProvider:
    """One of ONNX Runtime's execution providers.

    Attributes:
        name: ONNX Runtime's own.
        device: where states and caches stay between runs: "cpu" or "cuda".
        install: what to do where it is missing.
        behind: providers for the nodes that it does not take; the CPU is always behind all of them.
        plugin: the module whose library is registered first; None where it is part of onnxruntime.
        prefix: of its options for profiles; None where it needs no profile.
        options: what it is always told.
    """

    name: str
    device: str
    install: str
    behind: tuple[str, ...] = ()
    plugin: str | None = None
    prefix: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


EXECUTION_PROVIDERS: Final[Mapping[str, ExecutionProvider]] = {
    "cpu": ExecutionProvider("CPUExecutionProvider", "cpu", "install onnxruntime"),
    "cuda": ExecutionProvider(
        "CUDAExecutionProvider",
        "cuda",
        "install onnxruntime-gpu in place of onnxruntime",
        # By default products of float32 have TF32's 10 bits from Ampere on, and fp32 promises eager's tokens.
        options={"use_tf32": "0"},
    ),
    "tensorrt-ep": ExecutionProvider(
        "TensorrtExecutionProvider",
        "cuda",
        "install onnxruntime-gpu in place of onnxruntime, and tensorrt",
        behind=("CUDAExecutionProvider",),
        prefix="trt",
    ),
    "nv-tensorrt-rtx": ExecutionProvider(
        "NvTensorRTRTXExecutionProvider",
        "cuda",
        "install onnxruntime-ep-nv-tensorrt-rtx-cu13",
        plugin="onnxruntime_ep_nv_tensorrt_rtx",
        prefix="nv",
    ),
}
"""Our name -> the provider."""


def version_numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of onnxruntime's version."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def version_problem(version: str) -> str | None:
    """Why an onnxruntime is refused; pip sees to it for onnxruntime alone, not for onnxruntime-gpu in its place."""
    if version_numbers(version) >= LOWEST_ONNXRUNTIME:
        return None
    wanted = ".".join(map(str, LOWEST_ONNXRUNTIME))
    return (
        f"onnxruntime {version} is installed, wanted {wanted} or newer: older ones cannot read the graphs or compute "
        f"wrong tokens; pip install 'onnxruntime>={wanted}' (or onnxruntime-gpu, where that is installed)"
    )


def provider_limits(
    name: str, bundle: Bundle, precision: str, frames_of: Callable[[int], int]
) -> ProfileLimits:
    """What a TensorRT provider is built for: the defaults of compile-s2t, in one profile.

    Args:
        name: ours, for messages.
        bundle: whose graphs.
        precision: of the graphs.
        frames_of: samples -> frames of the encoder.
    """
    manifest, info = bundle.manifest, bundle.precision(precision)
    samples = default_samples(manifest)
    frames = AxisRange(frames_of(samples.min), frames_of(samples.opt), frames_of(samples.max))
    table = table_of("default", manifest, samples, frames, default_sizes(manifest))
    inputs = {ENCODER: info.encoder.inputs, WITH_PAST: info.decoder_with_past.inputs}
    profiles = {graph: (rows_of(tensors, table),) for graph, tensors in inputs.items()}

    def remedy(axis: str, size: int) -> str:
        flags = compile_flags(limits, manifest.audio.sampling_rate, axis, size)
        return f"compile-s2t {shlex.quote(str(bundle.root))} --precision {precision} {flags}"

    limits = ProfileLimits(profiles, f"the profiles of provider {name!r}", remedy)
    return limits


def provider_options(
    provider: ExecutionProvider, bundle: Bundle, precision: str, graph: str, profile: Profile | None
) -> dict[str, str]:
    """What a provider is told for one graph.

    Args:
        provider: which.
        bundle: its hashes name the cache directory, since TensorRT's provider itself tells graphs apart by
            names that all our bundles share.
        precision: of the graph.
        graph: its name.
        profile: the ranges of its inputs; None for providers that need none.

    Raises:
        OSError: the cache directory cannot be made.
    """
    if provider.prefix is None or profile is None:
        return dict(provider.options)
    info: GraphInfo = getattr(bundle.precision(precision), graph)
    bounds = {tensor.name: bounds_of(tensor.name, tensor.shape, profile) for tensor in info.inputs}
    options = {
        f"{provider.prefix}_profile_{end}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, bound[index]))}" for name, bound in bounds.items()
        )
        for index, end in enumerate(("min", "opt", "max"))
    }
    cache = str(cache_directory(provider.name, _fingerprint(bundle, precision), graph))
    if provider.prefix == "nv":
        return {**options, "nv_runtime_cache_path": cache}
    return {
        **options,
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": cache,
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": cache,
    }


def _fingerprint(bundle: Bundle, precision: str) -> str:
    """Of all files of a precision."""
    files = bundle.manifest.files
    own = sorted(f"{path} {file.sha256}" for path, file in files.items() if path.startswith(f"{precision}/"))
    return hashlib.sha256("\n".join(own).encode()).hexdigest()[:16]
