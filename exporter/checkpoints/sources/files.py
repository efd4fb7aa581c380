"""Where a checkpoint's files are: a local directory, or a model id on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.checkpoints.sources.kinds import FETCH_CONFIGURATION, FETCH_WEIGHTS
from exporter.errors import CheckpointError

OnStage = Callable[[str], None]
_MODEL_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint on disk and what is known of its origin."""

    source: str
    """What the user typed."""
    directory: Path
    """Where the files are."""
    model_id: str
    """The hub id, or the directory's name."""
    revision: str | None
    """The commit of a hub download; None for a local directory."""
    card_url: str | None
    """The model card of a hub download."""


def _silent(_stage: str) -> None:
    pass


def locate_checkpoint(
    source: str, revision: str | None = None, *, on_stage: OnStage = _silent
) -> CheckpointFiles:
    """Find a checkpoint, downloading all but its weights where the source is a hub id.

    ``fetch_weights`` gets the rest: a model that cannot be exported should not cost gigabytes first.

    Args:
        source: a directory in Hugging Face layout, or a model id such as ``owner/name``.
        revision: branch, tag or commit of a hub id.
        on_stage: told of a download as it starts.

    Raises:
        CheckpointError: no such directory, or the hub cannot serve the model.
    """
    path = Path(source)
    try:
        is_directory, is_there = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise CheckpointError(
            f"{source} cannot be read ({error.strerror}): give a directory written by save_pretrained()"
        ) from error
    if is_directory:
        if revision is not None:
            raise CheckpointError(
                f"revision {revision} goes with a hub id, but {source} is a local directory: leave it out"
            )
        return CheckpointFiles(source, path, path.resolve().name, None, None)
    if is_there or not _MODEL_ID.fullmatch(source):
        raise CheckpointError(
            f"{source} is neither a directory nor a model id: give a directory written by "
            "save_pretrained(), or an id such as facebook/wav2vec2-xls-r-300m-en-to-15"
        )
    from exporter.checkpoints.sources.download import download_configuration  # noqa: PLC0415 - a local export needs no hub

    on_stage(FETCH_CONFIGURATION)
    directory = download_configuration(source, revision)
    # A snapshot's directory is named by its commit.
    return CheckpointFiles(source, directory, source, directory.name, f"https://huggingface.co/{source}")


def fetch_weights(files: CheckpointFiles, *, on_stage: OnStage = _silent) -> None:
    """Download the weights of a hub id; those of a local directory are there or are missed later.

    Raises:
        CheckpointError: the hub has none that can be read, or cannot serve them.
    """
    if files.revision is None:
        return
    from exporter.checkpoints.sources.download import download_weights  # noqa: PLC0415

    on_stage(FETCH_WEIGHTS)
    download_weights(files.model_id, files.revision, files.directory)


def read_licence(directory: Path) -> str | None:
    """The licence that the model card's front matter states, if there is a card that does."""
    card = directory / "README.md"
    if not card.is_file():
        return None
    from huggingface_hub import ModelCard  # noqa: PLC0415

    try:
        data: Any = ModelCard.load(card, ignore_metadata_errors=True).data
    except Exception:  # noqa: BLE001 - a card is prose: whatever is wrong with it, the model is not
        return None
    licence = data.get("license") or data.get("licence")
    return str(licence) if licence else None
