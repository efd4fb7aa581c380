"""The flags of compile-s2t that build engines for given limits."""

from __future__ import annotations

from s2t_runtime.sessions.profiles.limits import ENCODER, WITH_PAST, ProfileLimits


def compile_flags(limits: ProfileLimits, sampling_rate: int, name: str = "", value: int = 0) -> str:
    """The flags of compile-s2t for these limits, one of which is widened to ``value``."""
    wanted = {
        "samples": limits.largest(ENCODER, "samples"),
        **{axis: limits.largest(WITH_PAST, axis) for axis in ("batch", "beams", "past", "new")},
    }
    key = "new" if name == "prompt" else name
    if key in wanted:
        wanted[key] = max(wanted[key], value)
    return (
        f"--max-audio-seconds {wanted['samples'] / sampling_rate:.9g} --max-batch {wanted['batch']} "
        f"--max-beams {wanted['beams']} --max-length {max(wanted['past'] + 1, wanted['new'])} "
        f"--max-prompt {wanted['new']}"
    )
