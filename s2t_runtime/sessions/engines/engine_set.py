"""A set of engines that are used together, and the compile-s2t line that makes a wider one."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s2t_runtime.bundles.engine_record import EngineRecord
from s2t_runtime.sessions.profiles.compile_flags import compile_flags
from s2t_runtime.sessions.profiles.limits import ENCODER, FIRST_STEP, ProfileLimits


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
