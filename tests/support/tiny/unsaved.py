"""Checkpoints that were never saved: what measures a model in memory needs no files."""

from __future__ import annotations

from typing import Any

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.origin import Origin
from exporter.checkpoints.sources.files import CheckpointFiles


def unsaved(model: Any, extractor: Any) -> Checkpoint:
    files = CheckpointFiles("tiny", None, "tiny", None, None)
    return Checkpoint(files, model, None, extractor, Origin("checkpoint", {"checkpoint": files}))
