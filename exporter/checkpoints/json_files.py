"""Reads JSON files of a checkpoint, and sees that they are what their names say."""

from __future__ import annotations

import json
from typing import Any

from exporter.checkpoints.sources.damage import damage
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError


def read_json(files: CheckpointFiles, name: str) -> dict[str, Any]:
    """A JSON object beside the weights; an empty one where the file holds something else.

    Raises:
        CheckpointError: the file is missing or no JSON.
    """
    path = files.directory / name
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{files.source} has no {name}: give a directory written by save_pretrained()"
        ) from error
    except (OSError, ValueError) as error:
        what = damage(path) if path.is_file() else None
        raise CheckpointError(
            f"{files.source}: {what}" if what else f"{path} cannot be read as JSON: {error}"
        ) from error
    return raw if isinstance(raw, dict) else {}
