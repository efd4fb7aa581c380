"""Engines for a measurement: those that the bundle has, or else built for this GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.errors import AudioError, OptionError, S2TError
from s2t_runtime.sessions.engines.choice import engine_precision, find_engines
from s2t_runtime.sessions.protocol import Request
from s2t_runtime.sessions.tensorrt.libraries import cuda_python_problem, tensorrt_versions

_RTX_TARGETS: Final = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
_BATCH: Final = 1


@dataclass(frozen=True)
class Need:
    """What the engines must serve.

    Attributes:
        target: compute capability of the GPU, "sm90".
        audio_s: the longest recording.
        beams: most sequences per utterance.
        length: tokens of a sequence, prompt included.
        requests: all of the measurement's.
    """

    target: str
    audio_s: float
    beams: int
    length: int
    requests: tuple[Request, ...]


def engine_problem(
    bundle: Bundle, flavour: str, need: Need, on_stage: Callable[[str], None] = lambda _: None
) -> str | None:
    """Why a flavour's engines cannot be measured; None where there are some, or now are.

    Args:
        bundle: where they are kept; what compile-s2t would build is built where none fits.
        flavour: "tensorrt" or "tensorrt-rtx".
        need: what they must serve.
        on_stage: told before engines are built, which takes minutes.
    """
    found, missing = tensorrt_versions()
    if flavour in missing:
        return f"{flavour} {missing[flavour]}"
    if (problem := cuda_python_problem()) is not None:
        return problem
    if not _has_engines(bundle, flavour, found[flavour], need):
        on_stage(f"build engines with {flavour}")
        try:
            _build(bundle, flavour, need)
        except S2TError as error:
            return f"no engines could be built: {error}"
    return None


def _has_engines(bundle: Bundle, flavour: str, version: str, need: Need) -> bool:
    precision = engine_precision(tuple(bundle.manifest.graphs))
    for engines in find_engines(bundle):
        same = (engines.flavour, engines.precision) == (flavour, precision)
        record = engines.records["encoder"]
        fits = record.version == version and (not record.targets or need.target in record.targets)
        if same and fits:
            try:
                for request in need.requests:
                    engines.limits.check(request)
            except (AudioError, OptionError):
                continue
            return True
    return False


def _build(bundle: Bundle, flavour: str, need: Need) -> None:
    from exporter.engines.build import compile_bundle  # noqa: PLC0415 - a bundle with engines needs no exporter
    from exporter.engines.options import EngineOptions  # noqa: PLC0415

    # A GPU that TensorRT-RTX does not name gets its portable plan: what it says of it is worth knowing.
    portable_or_own = (need.target,) if need.target in _RTX_TARGETS else ()
    options = EngineOptions(
        flavour=flavour,
        precision=engine_precision(tuple(bundle.manifest.graphs)),
        targets=portable_or_own if flavour == "tensorrt-rtx" else None,
        max_audio_s=need.audio_s,
        max_batch=_BATCH,
        max_beams=need.beams,
        max_length=need.length,
    )
    compile_bundle(bundle, options)
