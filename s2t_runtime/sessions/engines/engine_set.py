"""A set of engines that are used together, and the compile-s2t line that makes a wider one."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s2t_runtime.engine_record import EngineRecord
from s2t_runtime.profile_limits import ENCODER, FIRST_STEP, WITH_PAST, ProfileLimits

__all__ = ["ENCODER", "FIRST_STEP", "WITH_PAST", "EngineSet", "compile_flags"]


@dataclass(frozen=True)
class EngineSet:
    """The engines of one folder, which are used together.

    Attributes:
        bundle: the bundle's directory.
        folder: ``bundle/engines/...``.
        records: graph name -> its engine; always "encoder" and "decoder_with_past".
        sampling_rate: of the audio in Hz, for messages.
    """

    bundle: Path
    folder: Path
    records: Mapping[str, EngineRecord]
    sampling_rate: int

    @property
    def precision(self) -> str:
        """Of the graphs that the engines were built from."""
        return self.records[ENCODER].precision

    @property
    def flavour(self) -> str:
        """Full TensorRT ("tensorrt") or TensorRT-RTX ("tensorrt-rtx")."""
        return self.records[ENCODER].flavour

    @functools.cached_property
    def limits(self) -> ProfileLimits:
        """What the engines take."""
        profiles = {graph: record.profiles for graph, record in self.records.items()}
        return ProfileLimits(profiles, f"the engines in {self.folder.name}", self.compile_line)

    def plan_path(self, graph: str) -> Path:
        """Where a graph's serialised engine lies."""
        return self.folder / f"{graph}.plan"

    def compile_line(self, name: str = "", value: int = 0) -> str:
        """The compile-s2t command whose engines take all that these take, and ``value`` of an axis as well."""
        record = self.records[ENCODER]
        targets = "" if self.flavour == "tensorrt" else f" --targets {','.join(record.targets) or 'portable'}"
        first = " --first-step-engine" if FIRST_STEP in self.records else ""
        return (
            f"compile-s2t {shlex.quote(str(self.bundle))} --flavour {record.flavour} --precision "
            f"{record.precision}{targets}{first} {compile_flags(self.limits, self.sampling_rate, name, value)}"
        )


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
