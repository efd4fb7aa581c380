"""Where a checkpoint's files come from: a local directory, or a model id on the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError

_WANTED_FILES = ["*.json", "*.model", "*.txt", "*.safetensors", "README.md"]
_OLD_WEIGHTS = ["pytorch_model*.bin"]


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


def locate_checkpoint(source: str, revision: str | None = None) -> CheckpointFiles:
    """Find a checkpoint's files, downloading them where the source is a hub id.

    Args:
        source: a directory in Hugging Face layout, or a model id such as ``owner/name``.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: no such directory, or the hub cannot serve the model.
    """
    path = Path(source)
    if path.is_dir():
        if revision is not None:
            raise CheckpointError(
                f"--revision {revision} goes with a hub id, but {source} is a local directory: leave it out"
            )
        return CheckpointFiles(source, path, path.resolve().name, None, None)
    if path.exists() or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", source):
        raise CheckpointError(
            f"{source} is neither a directory nor a model id: give a directory written by "
            "save_pretrained(), or an id such as facebook/wav2vec2-xls-r-300m-en-to-15"
        )
    return _download(source, revision)


def _download(model_id: str, revision: str | None) -> CheckpointFiles:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - a local export needs no hub

    patterns = list(_WANTED_FILES)
    try:
        directory = Path(snapshot_download(model_id, revision=revision, allow_patterns=patterns))
        if not any(directory.glob("*.safetensors")):
            directory = Path(
                snapshot_download(model_id, revision=revision, allow_patterns=patterns + _OLD_WEIGHTS)
            )
    except Exception as error:  # the hub library raises its own, httpx's and the system's errors
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(
            f"{model_id}{at} is no local directory and cannot be fetched from the hub: {_first_line(error)}; "
            "check the name and the network, or give a directory that holds the checkpoint"
        ) from error
    # A snapshot's directory is named by its commit.
    return CheckpointFiles(
        model_id, directory, model_id, directory.name, f"https://huggingface.co/{model_id}"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


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
