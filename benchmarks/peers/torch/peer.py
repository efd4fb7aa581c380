"""Peer: the checkpoint in PyTorch, eager or through torch.compile, as a user of transformers runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from benchmarks.errors import PeerError
from benchmarks.peers.protocol import Offer

if TYPE_CHECKING:
    from benchmarks.peers.torch.generation import Mode, TorchPeer

OFFERS: Final[Mapping[str, tuple[Offer, ...]]] = MappingProxyType(
    {
        "eager": (Offer("eager fp32", "fp32", {"precision": "fp32"}),),
        "compile": (Offer("torch.compile fp32", "fp32", {"precision": "fp32", "mode": "compile"}),),
    }
)


def open_peer(
    *,
    bundle: str,
    against: Sequence[str] = (),
    device: str = "cuda",
    precision: str = "fp32",
    mode: Mode = "eager",
    threads: int | None = None,
) -> TorchPeer:
    """Load the checkpoint behind a bundle.

    Args:
        bundle: its directory.
        against: what stands for the source that its manifest names, as ``check-s2t --against`` takes it.
        device: "cuda" or "cpu".
        precision: a key of DTYPES.
        mode: "eager" or "compile".
        threads: of PyTorch on the CPU.

    Raises:
        PeerError: this PyTorch cannot use the device.
        S2TError: the bundle or the checkpoint cannot be read.
    """
    from benchmarks.peers.torch.generation import TorchPeer  # noqa: PLC0415 - a peer's file is read to know its offers
    from exporter.checkpoints.load import load_source  # noqa: PLC0415
    from exporter.checkpoints.sources.recorded import load_options_of, source_of  # noqa: PLC0415
    from exporter.commands.console import quiet_libraries  # noqa: PLC0415
    from s2t_runtime.bundles.bundle import open_bundle  # noqa: PLC0415

    problem = torch_problem() if device == "cuda" else None
    if problem is not None:
        raise PeerError(problem)
    quiet_libraries(quiet=True)
    _set_up(threads)
    opened = open_bundle(bundle)
    checkpoint = load_source(source_of(opened.manifest, tuple(against)), load_options_of(opened.manifest))
    return TorchPeer(checkpoint, device=device, precision=precision, mode=mode, kept=opened.output_ids())


def _set_up(threads: int | None) -> None:
    import torch  # noqa: PLC0415

    if threads is not None:
        torch.set_num_threads(threads)
    # float32 means float32: TF32 products have 10 bits, and eager is what the others are measured against.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def torch_problem() -> str | None:
    """Why PyTorch cannot use a GPU; None where it can."""
    import torch  # noqa: PLC0415

    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: install PyTorch's CUDA build"
    return None if torch.cuda.is_available() else f"torch {torch.__version__} finds no GPU that it can use"
