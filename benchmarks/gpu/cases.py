"""Which cases benchmarks.gpu measures on this machine, and the reason for each that it leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.bench.cases import answering_case
from benchmarks.measuring.choice import Choice
from benchmarks.peers.protocol import Case
from s2t_runtime.sessions.engines.choice import engine_precision

EAGER: Final = {"fp32": "eager fp32", "fp16": "eager fp16"}
COMPILED: Final = "torch.compile fp16"
_FLAVOURS: Final = ("tensorrt", "tensorrt-rtx")


@dataclass(frozen=True)
class Problems:
    """Why this machine cannot measure something; None where it can.

    Attributes:
        cuda_provider: ONNX Runtime's CUDA provider.
        torch: PyTorch on the GPU.
        checkpoint: the checkpoint that eager runs.
        engines: flavour -> its engines for this bundle.
    """

    cuda_provider: str | None
    torch: str | None
    checkpoint: str | None
    engines: Mapping[str, str | None]


def choose_cases(
    bundle: str, precisions: Sequence[str], against: Sequence[str], problems: Problems
) -> Choice:
    """Choose the cases.

    Args:
        bundle: its directory.
        precisions: that it holds.
        against: of ``--against``.
        problems: of this machine.
    """
    eager = problems.torch or problems.checkpoint
    torch_settings = {"bundle": bundle, "against": list(against), "device": "cuda"}
    wanted: list[tuple[Case, str | None]] = [
        (Case(name, "torch", {**torch_settings, "precision": precision}, precision), eager)
        for precision, name in EAGER.items()
    ]
    compiled: dict[str, Any] = {**torch_settings, "precision": "fp16", "mode": "compile"}
    wanted.append((Case(COMPILED, "torch", compiled, "fp16"), eager))
    for precision in ("fp32", "fp16"):
        problem = problems.cuda_provider or _lacks(precision, precisions)
        wanted.append((_runtime(f"onnxruntime cuda {precision}", bundle, "cuda", precision), problem))
    precision = engine_precision(precisions)
    for flavour in _FLAVOURS:
        case = _runtime(f"{flavour} {precision}", bundle, "tensorrt", precision, flavour=flavour)
        wanted.append((case, problems.engines[flavour]))
    cases = [case for case, problem in wanted if problem is None]
    references = tuple(EAGER.values())
    if eager is not None:
        # Something must be said of the answers: the bundle itself, where its export compared it with eager.
        on_cpu = answering_case(bundle, precisions)
        cases, references = [*cases, on_cpu], (on_cpu.name,)
    left_out = {case.name: problem for case, problem in wanted if problem is not None}
    return Choice(tuple(cases), references, left_out)


def _lacks(precision: str, precisions: Sequence[str]) -> str | None:
    if precision in precisions:
        return None
    return f"the bundle has no {precision}: export-s2t --precision {','.join((*precisions, precision))}"


def _runtime(name: str, bundle: str, provider: str, precision: str, **further: str) -> Case:
    settings = {"bundle": bundle, "provider": provider, "precision": precision, **further}
    return Case(name, "runtime", settings, precision)
