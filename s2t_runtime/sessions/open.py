"""Where a bundle runs: the session for a provider's name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.errors import OptionError
from s2t_runtime.sessions.protocol import Session

ENGINES: Final = "tensorrt"

PROVIDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cpu": "ONNX Runtime on the CPU",
        "cuda": "ONNX Runtime's CUDA provider",
        ENGINES: "TensorRT engines of either flavour that compile-s2t built",
        "tensorrt-ep": "ONNX Runtime's TensorRT provider, which builds its engines at the first run",
        "nv-tensorrt-rtx": "ONNX Runtime's TensorRT-RTX provider, which builds its engines at the first run",
    }
)
"""Name -> what it is."""


def open_session(
    bundle: Bundle,
    precision: str | None,
    *,
    provider: str,
    threads: int | None,
    verify: Literal["fast", "full"],
    cuda_graphs: bool = False,
    spin: bool | None = None,
    weights: Literal["mapped", "memory"] = "mapped",
) -> Session[Any]:
    """Load a bundle's graphs or engines.

    Args:
        bundle: an opened bundle.
        precision: one that it holds; None takes the bundle's default, and of engines the best there are.
        provider: a key of ``PROVIDERS``.
        threads: of ONNX Runtime's pool for one operator; engines have none.
        verify: which engine files are hashed, as ``open_bundle`` does with the bundle's.
        cuda_graphs: launch the engines' kernels as CUDA graphs.
        spin: whether these threads wait for the next operator by spinning; None takes the default.
        weights: whether ONNX Runtime maps the files of weights or gets them read; engines lie in the GPU's memory.

    Raises:
        OptionError: an unknown provider, precision or value of weights, threads or spin for engines, or cuda_graphs
            for others.
        BundleError: an engine's json or plan is damaged.
        SessionError: this machine or this Python cannot use the provider, or loading failed.
    """
    if provider not in PROVIDERS:
        raise OptionError(f"provider {provider!r} is unknown; known: {', '.join(PROVIDERS)}")
    if weights not in ("mapped", "memory"):
        raise OptionError(f'weights is {weights!r}, wanted "mapped" or "memory"')
    if provider != ENGINES:
        if cuda_graphs:
            raise OptionError(
                f"cuda_graphs needs provider {ENGINES!r}, got {provider!r}: leave cuda_graphs out"
            )
        from s2t_runtime.sessions.onnxruntime.session import OnnxSession  # noqa: PLC0415 - each side alone

        chosen = precision or bundle.manifest.default_precision
        return OnnxSession(bundle, chosen, provider=provider, threads=threads, spin=spin, weights=weights)
    for name, value in (("threads", threads), ("spin", spin)):
        if value is not None:
            raise OptionError(f"{name} is {value}, but engines run on the GPU: leave {name} unset")
    from s2t_runtime.sessions.tensorrt.libraries import open_engines  # noqa: PLC0415

    return open_engines(bundle, precision, verify=verify, cuda_graphs=cuda_graphs)
