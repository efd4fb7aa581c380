"""A test double of the child process: answers at once, writes small plans, and notes what it was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.errors import EngineError
from s2t_runtime.bundles.manifest import GraphInfo, Manifest


@dataclass
class FakeTensorRt:
    """Stands where ``engine_process.ask`` does."""

    manifest: Manifest
    version: str = "1.7.1.116"
    error: EngineError | None = None
    asked: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, flavour: str, task: str, request: Mapping[str, Any], *, what: str) -> dict[str, Any]:
        self.asked.append(what)
        self.requests.append({"flavour": flavour, **request})
        if task == "describe":
            return {"version": self.version, "targets": ["sm80", "sm86", "sm89", "sm120"]}
        if task == "parse":
            return {"census": {"SHAPE": {"INT64": 3}}}
        if self.error is not None:
            raise self.error
        path = Path(request["plan_path"])
        path.write_text(f"{request['graph']} {len(self.asked)}")
        info: GraphInfo = getattr(self.manifest.graphs[request["precision"]], request["graph"])
        return {
            "census": {"SHAPE": {"INT64": 3}},
            "plan_size": path.stat().st_size,
            "plan_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "inputs": [{"name": tensor.name, "dtype": tensor.dtype} for tensor in info.inputs],
            "outputs": [{"name": tensor.name, "dtype": tensor.dtype} for tensor in info.outputs],
        }

    def built(self) -> list[str]:
        """The graphs that were built since this was last asked."""
        found = [what.removeprefix("build ") for what in self.asked if what.startswith("build ")]
        self.asked.clear()
        return found
