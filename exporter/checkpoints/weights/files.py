"""Finds the files that hold a checkpoint's weights, or says what stands in their place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exporter.checkpoints.sources.damage import damage
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.checkpoints.sources.strange_weights import strange_weights
from exporter.checkpoints.sources.weight_files import WEIGHT_FILES
from exporter.errors import CheckpointError

Form = Literal["safetensors", "pytorch", "flax"]
_INDEX = ".index.json"


@dataclass(frozen=True)
class WeightFiles:
    """Files of one form, whole as far as their headers tell."""

    form: Form
    paths: tuple[Path, ...]


def missing_weights(directory: Path) -> str | None:
    """What to say of a directory without weights that can be read; None where it has some."""
    names = {path.name for path in directory.iterdir()}
    if names.intersection(WEIGHT_FILES):
        return None
    strange = strange_weights(names)
    return f"no weights ({' or '.join(WEIGHT_FILES[:4:2])})" + (f"; {strange}" if strange else "")


def find_weight_files(files: CheckpointFiles) -> WeightFiles:
    """The weights that transformers would take: safetensors, else PyTorch's own, else Flax's.

    Raises:
        CheckpointError: there are none, a shard is missing, or a file is a pointer, compressed or cut off.
    """
    directory = files.directory
    chosen = next((name for name in WEIGHT_FILES if (directory / name).is_file()), None)
    if chosen is None:
        raise CheckpointError(f"{files.source} is incomplete: {missing_weights(directory)}")
    paths = _shards(files, directory / chosen) if chosen.endswith(_INDEX) else (directory / chosen,)
    problems = [problem for path in paths if (problem := damage(path))]
    if problems:
        raise CheckpointError(f"{files.source}: {'; '.join(problems)}")
    return WeightFiles(_form(chosen), paths)


def _form(name: str) -> Form:
    if name.startswith("flax"):
        return "flax"
    return "safetensors" if name.startswith("model") else "pytorch"


def _shards(files: CheckpointFiles, index: Path) -> tuple[Path, ...]:
    problem = damage(index)
    if problem:
        raise CheckpointError(f"{files.source}: {problem}")
    try:
        names = sorted(
            {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{files.source}: {index.name} cannot be read as an index of weights ({error!r}): fetch it again"
        ) from error
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise CheckpointError(
            f"{files.source}: {index.name} names {len(names)} shards, and {', '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} not there: fetch them too"
        )
    return tuple(index.parent / name for name in names)
