"""What this machine cannot measure on its GPU, and why: one sentence for each."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from benchmarks.errors import BenchmarkError
from benchmarks.gpu.cases import Problems
from benchmarks.gpu.engines import Need, engine_problem
from exporter.checkpoints.sources.recorded import source_of
from exporter.commands.console import EXTRA
from exporter.errors import CheckpointError
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.bundles.engine_record import FLAVOURS
from s2t_runtime.commands.doctor import diagnose
from s2t_runtime.machine import cuda_driver_problem


def refuse_without_gpu() -> None:
    """See that there is a GPU at all.

    Raises:
        BenchmarkError: there is none that this process can use.
    """
    problem = cuda_driver_problem()
    if problem is not None:
        raise BenchmarkError(f"{problem}: this benchmark measures on a GPU alone; on a CPU use bench-s2t")


def problems_here(
    bundle: Bundle, against: Sequence[str], need: Need, on_stage: Callable[[str], None] = lambda _: None
) -> Problems:
    """Look at everything that a case may lack; engines that are missing are built.

    Args:
        bundle: what is measured.
        against: of ``--against``.
        need: what engines must serve.
        on_stage: told before something takes long.

    Raises:
        CheckpointError: ``against`` does not name the parts that the bundle was made from.
    """
    cuda = next(ability for ability in diagnose(None).abilities if ability.name == "run with CUDA")
    return Problems(
        cuda_provider=None if cuda.available else cuda.reason,
        torch=_torch_problem(),
        checkpoint=_checkpoint_problem(bundle, against),
        engines={flavour: engine_problem(bundle, flavour, need, on_stage) for flavour in FLAVOURS},
    )


def _torch_problem() -> str | None:
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        return f'{", ".join(missing)} not installed: pip install "export-s2t[export]"'
    from benchmarks.peers.torch.peer import torch_problem  # noqa: PLC0415

    return torch_problem()


def _checkpoint_problem(bundle: Bundle, against: Sequence[str]) -> str | None:
    try:
        source_of(bundle.manifest, against)
    except CheckpointError as error:
        if against:
            raise
        return str(error)
    return None
