"""Which GPUs engines run on: one rule, which compile-s2t, doctor-s2t and the runtime share.

A target is a compute capability as compile-s2t takes it: "sm89". That TensorRT-RTX has none for Hopper
(sm90) and the big Blackwell GPUs (sm100) is NVIDIA's support matrix; full TensorRT serves them.
"""

from __future__ import annotations

from typing import Final

RTX_TARGETS: Final = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""What TensorRT-RTX 1.7 can be told to build for."""
_NEWEST_LINE: Final = 120
"""Portable plans also run on whatever follows sm120."""


def target_of(capability: str) -> str:
    """The target of a compute capability: "8.9" is "sm89"."""
    return f"sm{capability.replace('.', '')}"


def rtx_supports(target: str) -> bool:
    """Whether TensorRT-RTX runs on such a GPU."""
    number = target.removeprefix("sm")
    return target in RTX_TARGETS or (number.isdecimal() and int(number) >= _NEWEST_LINE)


def gpu_problem(targets: tuple[str, ...], gpu: str, target: str) -> str | None:
    """Why a GPU cannot run engines that were built for ``targets``; None where it can.

    Args:
        targets: of their json; empty: TensorRT-RTX's portable plan, which leaves out Turing (sm75).
        gpu: its name.
        target: its compute capability.
    """
    if targets:
        return (
            None if target in targets else f"they were built for {', '.join(targets)}, and {gpu} is {target}"
        )
    if rtx_supports(target) and target != "sm75":
        return None
    return f"portable engines run on {', '.join(RTX_TARGETS[1:])} and later, and {gpu} is {target}"
