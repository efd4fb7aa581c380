"""How threads of ONNX Runtime wait for the next operator: by spinning, for a moment only, or asleep."""

from __future__ import annotations

from typing import Final, Literal

from s2t_runtime.sessions.onnxruntime.providers import version_numbers

Spinning = bool | Literal["briefly"]

BRIEF_US: Final = 50
"""Microseconds: longer than most gaps between operators, shorter than what others would miss."""
_LIMITS_IT: Final = (1, 26)
"""The onnxruntime that brought a limit; older ones would spin on."""
_ALLOW: Final = "session.intra_op.allow_spinning"
_DURATION: Final = "session.intra_op.spin_duration_us"


def spinning(version: str, *, asked: bool | None) -> Spinning:
    """What a session does.

    Args:
        version: of onnxruntime.
        asked: by the caller; None leaves it to the runtime: briefly, or not at all where that cannot be had.
    """
    if asked is not None:
        return asked
    return "briefly" if version_numbers(version) >= _LIMITS_IT else False


def session_entries(how: Spinning) -> dict[str, str]:
    """The configuration entries of a session."""
    return {_ALLOW: str(int(bool(how))), **({_DURATION: str(BRIEF_US)} if how == "briefly" else {})}
