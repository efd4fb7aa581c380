"""Records of engines for tests, made from a bundle's manifest: what compile-s2t would write, without a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.engine_record import AxisRange, BoundTensor, EngineRecord, Profile
from s2t_runtime.bundles.manifest import GraphInfo, TensorInfo
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.profiles.limits import ENCODER, FIRST_STEP, WITH_PAST


@dataclass(frozen=True)
class Limits:
    """The sizes of one profile."""

    name: str = "default"
    samples: tuple[int, int] = (400, 480_000)
    frames: tuple[int, int] = (1, 1500)
    batch: int = 4
    beams: int = 5
    length: int = 64
    prompt: int = 8
    candidates: int = 64

    def profile(self, graph: str) -> Profile:
        ranges = {
            "batch": (1, self.batch),
            "samples": self.samples,
            "frames": self.frames,
            "beams": (1, self.beams),
            "rows": (1, self.batch * self.beams),
            "past": (0, self.length - 1),
            "new": (1, self.prompt),
            "prompt": (1, self.prompt),
        }
        names = {
            ENCODER: ("batch", "samples"),
            WITH_PAST: ("batch", "beams", "frames", "new", "past", "rows"),
            FIRST_STEP: ("batch", "frames", "prompt"),
        }[graph]
        values = {} if graph == ENCODER else {"candidates": AxisRange(1, 1, self.candidates)}
        return Profile(self.name, {name: usual(*ranges[name]) for name in names}, values)


def usual(low: int, high: int) -> AxisRange:
    return AxisRange(low, (low + high) // 2, high)


def engine_set(
    bundle: Bundle,
    *limits: Limits,
    precision: str = "fp32",
    first_step: bool = False,
    folder: str = "tensorrt-rtx-1.7.1.116-fp32-portable-0123456789",
    **changes: Any,
) -> EngineSet:
    """The engines that a bundle would have with these profiles; ``changes`` go into every record."""
    graphs = (ENCODER, WITH_PAST, FIRST_STEP) if first_step else (ENCODER, WITH_PAST)
    records = {
        graph: replace(record_of(bundle, precision, graph, limits or (Limits(),)), **changes)
        for graph in graphs
    }
    rate = bundle.manifest.audio.sampling_rate
    return EngineSet(bundle.root, bundle.root / "engines" / folder, records, rate)


def record_of(bundle: Bundle, precision: str, graph: str, limits: tuple[Limits, ...]) -> EngineRecord:
    info: GraphInfo = getattr(bundle.manifest.graphs[precision], graph)
    weights = {
        path.split("/")[-1]: file.sha256
        for path, file in bundle.manifest.files.items()
        if path.startswith(f"{precision}/") and path.endswith(".data")
    }
    return EngineRecord(
        record_version=1,
        flavour="tensorrt-rtx",
        version="1.7.1.116",
        graph=graph,
        precision=precision,
        targets=(),
        source_path=info.path,
        source_sha256=bundle.manifest.files[info.path].sha256,
        weights_sha256=weights,
        plan_size=1,
        plan_sha256="0" * 64,
        profiles=tuple(limit.profile(graph) for limit in limits),
        inputs=bound(info.inputs),
        outputs=bound(info.outputs),
        census={},
        options={},
    )


def bound(tensors: tuple[TensorInfo, ...]) -> tuple[BoundTensor, ...]:
    return tuple(BoundTensor(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors)


def graph_files(bundle: Bundle, precision: str = "fp32") -> Mapping[str, Path]:
    """The ONNX files that the executor double runs in the engines' place."""
    return {graph: bundle.graph_path(precision, graph) for graph in (ENCODER, WITH_PAST, FIRST_STEP)}
