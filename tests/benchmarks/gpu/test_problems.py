"""What a machine lacks for the GPU benchmark, said in one sentence for each."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.gpu import engines as gpu_engines
from benchmarks.gpu import problems as gpu_problems
from benchmarks.gpu.engines import Need, engine_problem
from benchmarks.gpu.problems import problems_here, refuse_without_gpu
from benchmarks.peers.torch import peer as peer_torch
from exporter.engines import build as engine_build
from exporter.engines.options import EngineOptions
from exporter.errors import CheckpointError, EngineError
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.errors import OptionError
from s2t_runtime.sessions.protocol import Request

NO_DRIVER = "no NVIDIA driver found: this benchmark measures on a GPU alone; on a CPU use bench-s2t"
NEED = Need("sm90", 10.0, 5, 41, (Request(((1, 160_000),), 5, 1, 41),))


@pytest.fixture(scope="module")
def bundle(digits_bundle: Path) -> Bundle:
    return open_bundle(digits_bundle)


def test_a_machine_without_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_problems, "cuda_driver_problem", lambda: "no NVIDIA driver found")
    with pytest.raises(BenchmarkError, match=f"^{re.escape(NO_DRIVER)}$"):
        refuse_without_gpu()
    monkeypatch.setattr(gpu_problems, "cuda_driver_problem", lambda: None)
    refuse_without_gpu()


def test_problems_are_those_of_doctor_torch_and_manifest(
    bundle: Bundle, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_problems, "engine_problem", lambda *_: "no engines")
    monkeypatch.setattr(peer_torch, "torch_problem", lambda: "no CUDA in torch")
    found = problems_here(bundle, (str(digits_checkpoint),), NEED)
    assert found.engines == {"tensorrt": "no engines", "tensorrt-rtx": "no engines"}
    assert found.torch == "no CUDA in torch"
    assert found.checkpoint is None
    # Of the doctor, whatever this machine has.
    ability = next(one for one in gpu_problems.diagnose(None).abilities if one.name == "run with CUDA")
    assert found.cuda_provider == (None if ability.available else ability.reason)

    found = problems_here(bundle, (), NEED)
    assert str(found.checkpoint).startswith("the bundle was exported from a local directory")
    with pytest.raises(
        CheckpointError, match=r"^--against names a, b, but the bundle was made from one checkpoint"
    ):
        problems_here(bundle, ("a", "b"), NEED)


def test_a_machine_without_the_export_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_problems, "EXTRA", ("torch", "nosuchmodule"))
    assert gpu_problems._torch_problem() == 'nosuchmodule not installed: pip install "export-s2t[export]"'


def has_tensorrt(monkeypatch: pytest.MonkeyPatch, cuda_python: str | None = None) -> None:
    found = ({"tensorrt-rtx": "1.7.1.116", "tensorrt": "11.4.0"}, {})
    monkeypatch.setattr(gpu_engines, "tensorrt_versions", lambda: found)
    monkeypatch.setattr(gpu_engines, "cuda_python_problem", lambda: cuda_python)


def test_engines_need_tensorrt_and_cuda_python(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"tensorrt": 'is not installed (pip install "export-s2t[tensorrt]")'}
    monkeypatch.setattr(gpu_engines, "tensorrt_versions", lambda: ({}, missing))
    assert engine_problem(bundle, "tensorrt", NEED) == f"tensorrt {missing['tensorrt']}"
    has_tensorrt(monkeypatch, "cuda-python is missing")
    assert engine_problem(bundle, "tensorrt", NEED) == "cuda-python is missing"


@pytest.mark.parametrize(
    ("flavour", "target", "targets"),
    [("tensorrt", "sm90", None), ("tensorrt-rtx", "sm89", ("sm89",)), ("tensorrt-rtx", "sm90", ())],
)
def test_engines_are_built_for_this_gpu(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    flavour: str,
    target: str,
    targets: tuple[str, ...] | None,
) -> None:
    built: list[EngineOptions] = []
    said: list[str] = []
    has_tensorrt(monkeypatch)
    monkeypatch.setattr(engine_build, "compile_bundle", lambda _, options: built.append(options))
    need = Need(target, 10.0, 5, 41, NEED.requests)
    assert engine_problem(bundle, flavour, need, said.append) is None
    assert built == [
        EngineOptions(
            flavour=flavour, precision="fp32", targets=targets, max_audio_s=10.0, max_batch=1, max_beams=5,
            max_length=41,
        )
    ]  # fmt: skip
    assert said == [f"build engines with {flavour}"]


def test_engines_that_cannot_be_built(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise EngineError("the builder says no")

    has_tensorrt(monkeypatch)
    monkeypatch.setattr(engine_build, "compile_bundle", refuses)
    assert engine_problem(bundle, "tensorrt", NEED) == "no engines could be built: the builder says no"


class FakeLimits:
    """Takes requests of up to so many beams."""

    def __init__(self, beams: int) -> None:
        self.beams = beams

    def check(self, request: Request) -> None:
        if request.beams > self.beams:
            raise OptionError("too many beams")


def engines(beams: int = 5, **changes: Any) -> Any:
    has = {"flavour": "tensorrt-rtx", "precision": "fp32", "version": "1.7.1.116", "targets": (), **changes}
    record = SimpleNamespace(version=has["version"], targets=has["targets"])
    return SimpleNamespace(
        flavour=has["flavour"],
        precision=has["precision"],
        records={"encoder": record},
        limits=FakeLimits(beams),
    )


@pytest.mark.parametrize(
    ("found", "used"),
    [
        ((engines(),), True),
        ((engines(targets=("sm89", "sm90")),), True),
        ((engines(4), engines()), True),
        ((), False),
        ((engines(flavour="tensorrt"),), False),
        ((engines(precision="fp16"),), False),
        ((engines(version="1.6"),), False),
        ((engines(targets=("sm89",)),), False),
        ((engines(4),), False),
    ],
)
def test_engines_that_fit_are_used_and_no_others(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, found: tuple[Any, ...], used: bool
) -> None:
    built: list[None] = []
    has_tensorrt(monkeypatch)
    monkeypatch.setattr(gpu_engines, "find_engines", lambda _: found)
    monkeypatch.setattr(engine_build, "compile_bundle", lambda *_: built.append(None))
    assert engine_problem(bundle, "tensorrt-rtx", NEED) is None
    assert bool(built) is not used
