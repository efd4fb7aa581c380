"""compile_bundle: a bundle's graphs -> TensorRT engines, kept in the bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from exporter.engines.folder import engine_folder, keep_engine, locked_engines, usable_record
from exporter.engines.options import DEFAULT_TARGETS, PORTABLE, EngineOptions
from exporter.engines.process import ask, choose_flavour
from exporter.engines.profiles import profile_table, profiles_hash, profiles_of
from exporter.errors import EngineError, GraphError
from s2t_runtime.bundles.bundle import GRAPH_NAMES, Bundle
from s2t_runtime.bundles.engine_record import RECORD_VERSION, BoundTensor, EngineRecord, Profile
from s2t_runtime.bundles.manifest import GraphInfo
from s2t_runtime.sessions.profiles.table import bounds_of

_BUILD_ORDER: Final = ("encoder", "decoder_with_past", "decoder_first_step")
Census = Mapping[str, Mapping[str, int]]
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class CompiledEngine:
    """One engine, and whether it was there already."""

    record: EngineRecord
    reused: bool
    seconds: float


@dataclass(frozen=True)
class CompileResult:
    """What a build made, or found."""

    folder: Path
    engines: tuple[CompiledEngine, ...]


@dataclass(frozen=True)
class _Job:
    """What is to be built, decided before TensorRT is asked to build."""

    bundle: Bundle
    flavour: str
    version: str
    targets: tuple[str, ...]
    precision: str
    table: tuple[Profile, ...]
    graphs: Mapping[str, GraphInfo]
    """All that the precision has."""
    wanted: tuple[str, ...]
    """Those to build."""

    @property
    def folder_name(self) -> str:
        targets = "+".join(self.targets) or PORTABLE
        return f"{self.flavour}-{self.version}-{self.precision}-{targets}-{profiles_hash(self.table)}"

    def record(self, graph: str) -> EngineRecord:
        """The record of a graph's engine, as far as it is known before the build."""
        info, files = self.graphs[graph], self.bundle.manifest.files
        return EngineRecord(
            record_version=RECORD_VERSION,
            flavour=self.flavour,
            version=self.version,
            graph=graph,
            precision=self.precision,
            targets=self.targets,
            source_path=info.path,
            source_sha256=files[info.path].sha256,
            weights_sha256=_weights(self.bundle, info.path),
            plan_size=0,
            plan_sha256="",
            profiles=profiles_of(info, self.table),
            inputs=(),
            outputs=(),
            census={},
            options={"strongly_typed": True},
        )

    def request(self, graph: str) -> dict[str, Any]:
        """What the child is told of a graph, whether it parses or builds."""
        info = self.graphs[graph]
        policy = self.bundle.precision(self.precision).policy
        return {
            "graph": graph,
            "precision": self.precision,
            # Not resolved: behind a link the weights have other names and places than beside it.
            "source": str(self.bundle.path_of(info.path).absolute()),
            "source_path": info.path,
            "fp32_blocks": {} if policy is None else policy.fp32_blocks,
        }


def compile_bundle(
    bundle: Bundle, options: EngineOptions, *, on_stage: OnStage = lambda _: None
) -> CompileResult:
    """Build a bundle's engines, or reuse those that match.

    Args:
        bundle: opened, so its files are as its manifest says.
        options: what to build.
        on_stage: told the name of each stage as it starts.

    Raises:
        EngineError: TensorRT is missing or refuses; a profile is impossible; an unknown target.
        OptionError: the bundle lacks the precision.
        OutputError: the bundle cannot be written.
    """
    job = _job(bundle, options, on_stage)
    with locked_engines(bundle.root, lambda: on_stage("wait for another compile-s2t")) as engines:
        folder = engines / job.folder_name
        on_stage("look for engines that match")
        found = {graph: usable_record(folder, job.record(graph)) for graph in job.graphs}
        there = {graph: record for graph, record in found.items() if record is not None}
        missing = [graph for graph in job.wanted if options.force or graph not in there]
        kept = {graph: record for graph, record in there.items() if graph not in missing}
        reused = tuple(
            CompiledEngine(kept[graph], reused=True, seconds=0.0) for graph in job.wanted if graph in kept
        )
        if not missing:
            return CompileResult(folder, reused)
        with engine_folder(engines, job.folder_name) as working:
            for graph in kept:
                keep_engine(folder, working, graph)
            built = tuple(_build(job, graph, working, on_stage) for graph in missing)
    return CompileResult(folder, (*reused, *built))


def census_of_bundle(
    bundle: Bundle, options: EngineOptions, *, on_stage: OnStage = lambda _: None
) -> dict[str, Census]:
    """Graph -> layer type -> output type -> count, as TensorRT's parser sees it; nothing is built.

    Raises:
        EngineError, OptionError: as ``compile_bundle``.
    """
    job = _job(bundle, options, on_stage)
    found: dict[str, Census] = {}
    for graph in job.wanted:
        on_stage(f"parse {graph}")
        found[graph] = ask(job.flavour, "parse", job.request(graph), what=f"parse {graph}")["census"]
    return found


def _job(bundle: Bundle, options: EngineOptions, on_stage: OnStage) -> _Job:
    info = bundle.precision(options.precision)
    if info.policy is not None and info.policy.base == "int8":
        raise EngineError(
            f"precision {options.precision!r} is made for CPUs, and TensorRT does not take its products: "
            "compile fp16 or fp32"
        )
    flavour = choose_flavour(options.flavour)
    replace(options, flavour=flavour)  # targets may contradict the flavour that was found
    on_stage("check profiles and targets")
    graphs: dict[str, GraphInfo] = {name: getattr(info, name) for name in GRAPH_NAMES}
    wanted = tuple(name for name in _BUILD_ORDER if options.first_step or name != "decoder_first_step")
    table = profile_table(bundle.manifest, options, lambda samples: frames_of(bundle, info.encoder, samples))
    known = ask(flavour, "describe", {}, what=f"load {flavour}")
    targets = _targets(flavour, known["version"], known["targets"], options.targets)
    return _Job(bundle, flavour, known["version"], targets, options.precision, table, graphs, wanted)


def _targets(flavour: str, version: str, known: list[str], asked: tuple[str, ...] | None) -> tuple[str, ...]:
    if flavour == "tensorrt":
        return tuple(known)  # the GPU that is here
    targets = DEFAULT_TARGETS if asked is None else asked
    unknown = [target for target in targets if target not in known]
    if unknown:
        raise EngineError(
            f"target {', '.join(unknown)} is unknown to TensorRT-RTX {version}: choose from {', '.join(known)}, or "
            f"{PORTABLE} alone"
        )
    return targets


def frames_of(bundle: Bundle, encoder: GraphInfo, samples: int) -> int:
    """Frames that the encoder graph gives for so many samples.

    ONNX Runtime's shape inference is asked: exact, because the graph itself is what is read, and without
    running it, which would take as long as encoding the longest audio.

    Raises:
        EngineError: the graph leaves the number open.
    """
    from exporter.onnx.session import output_shapes  # noqa: PLC0415 - a wrong option needs no onnxruntime

    path = bundle.path_of(encoder.path)
    try:
        shapes = output_shapes(path, {"batch": 1, "samples": samples}, weights=bundle.weights_beside(path))
    except GraphError as error:
        raise EngineError(str(error)) from error
    frames = shapes["encoder_mask"][1]
    if not isinstance(frames, int):
        raise EngineError(
            f"{encoder.path} does not say how many frames {samples} samples give (axis {frames}): export it again"
        )
    return frames


def _weights(bundle: Bundle, source: str) -> dict[str, str]:
    """File name -> SHA-256 of the weight files that a graph points into; it holds their names."""
    content = bundle.path_of(source).read_bytes()
    beside = PurePosixPath(source).parent
    return {
        name: info.sha256
        for path, info in bundle.manifest.files.items()
        if PurePosixPath(path).parent == beside and path.endswith(".data")
        if (name := PurePosixPath(path).name).encode() in content
    }


def _build(job: _Job, graph: str, working: Path, on_stage: OnStage) -> CompiledEngine:
    on_stage(f"build {graph}")
    started_s = time.perf_counter()
    info, wanted = job.graphs[graph], job.record(graph)
    profiles = [
        {tensor.name: bounds_of(tensor.name, tensor.shape, profile) for tensor in info.inputs}
        for profile in wanted.profiles
    ]
    request = {
        **job.request(graph),
        "plan_path": str((working / f"{graph}.plan").resolve()),
        "targets": job.targets,
        "profiles": profiles,
    }
    told = ask(job.flavour, "build", request, what=f"build {graph}")
    record = replace(
        wanted,
        plan_size=told["plan_size"],
        plan_sha256=told["plan_sha256"],
        census=told["census"],
        inputs=_bound(info.inputs, told["inputs"]),
        outputs=_bound(info.outputs, told["outputs"]),
    )
    (working / f"{graph}.json").write_text(record.to_json(), encoding="utf-8")
    return CompiledEngine(record, reused=False, seconds=time.perf_counter() - started_s)


def _bound(declared: tuple[Any, ...], told: list[dict[str, str]]) -> tuple[BoundTensor, ...]:
    """The engine's tensors in its order and types, with the contract's names for the axes."""
    axes = {tensor.name: tensor.shape for tensor in declared}
    return tuple(BoundTensor(tensor["name"], tensor["dtype"], axes[tensor["name"]]) for tensor in told)
