"""Downloads a checkpoint through huggingface_hub: only the files that an export reads, and clear refusals.

The hub's library keeps the cache, asks for tokens, continues a download that a broken connection cut off
and draws the bars; its settings (HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN) are its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors

from exporter.checkpoints.sources.strange_weights import strange_weights
from exporter.checkpoints.sources.weight_files import WEIGHT_FILES
from exporter.errors import CheckpointError

# Configurations, tokenizers and the card; nothing below the top folder (onnx/, coreml/, checkpoint-500/).
_SMALL_FILES = ["*.json", "*.model", "*.txt", "*.spm", "vocab.*", "bpe.codes", "README.md"]
_OTHERS_FILES = ["*/*", "*.msgpack.index.json", "*.h5.index.json", "trainer_state.json"]


def download_configuration(model_id: str, revision: str | None) -> Path:
    """The snapshot's directory with all small files; named by its commit.

    Raises:
        CheckpointError: the hub cannot serve the model, and the cache holds no copy.
    """
    return _snapshot(model_id, revision, _SMALL_FILES, _OTHERS_FILES)


def download_weights(model_id: str, commit: str, directory: Path) -> None:
    """Complete a snapshot with its weights: safetensors, else PyTorch's own files, else Flax's.

    Raises:
        CheckpointError: there are no such weights, or the hub cannot serve them.
    """
    names = _file_names(model_id, commit, directory)
    chosen = next((name for name in WEIGHT_FILES if name in names), None)
    if chosen is None:
        raise CheckpointError(
            f"{model_id} has no weights that can be read ({', '.join(WEIGHT_FILES)}); it has "
            f"{', '.join(sorted(names)) or 'no files'}"
            + (
                f"; {strange}"
                if (strange := strange_weights(names))
                else ": have it saved with model.save_pretrained()"
            )
        )
    wanted = [chosen]
    if chosen.endswith(".index.json"):
        _snapshot(model_id, commit, wanted, [])  # Flax's is not among the small files
        wanted += _shards(model_id, directory / chosen)
    _snapshot(model_id, commit, wanted, [])
    missing = [name for name in wanted if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{model_id} at {commit} lacks {', '.join(missing)}, although {chosen} names it: "
            f"{_use_a_copy(model_id)}"
        )


def _file_names(model_id: str, commit: str, directory: Path) -> Collection[str]:
    try:
        tree = huggingface_hub.get_cached_repo_tree(model_id, revision=commit)
    except errors.CachedRepoTreeNotFoundError:
        # A cache that an older library filled, offline: what is there has to do.
        return {path.name for path in directory.iterdir()}
    return {file.path for file in tree}


def _shards(model_id: str, index: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{model_id}: {index.name} cannot be read as an index of weights: {error!r}"
        ) from error
    return [str(shard) for shard in shards]


def _snapshot(model_id: str, revision: str | None, wanted: list[str], unwanted: list[str]) -> Path:
    try:
        return Path(
            huggingface_hub.snapshot_download(
                model_id, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted
            )
        )
    except Exception as error:  # the hub library raises its own, httpx's and the system's errors
        raise CheckpointError(_explain(error, model_id, revision)) from error


def _explain(error: Exception, model_id: str, revision: str | None) -> str:
    """What was tried, what came of it, and what to do."""
    at = f"{model_id} at revision {revision}" if revision else model_id
    page = f"{constants.ENDPOINT}/{model_id}"
    match error:
        case errors.GatedRepoError():
            return (
                f"{model_id} is gated: accept its terms at {page}, log in with `hf auth login` (or set HF_TOKEN) "
                "and run this again"
            )
        case errors.RepositoryNotFoundError():
            return (
                f"{model_id} is no local directory, and {constants.ENDPOINT} shows no such model to this login: "
                "check the name; for a private model log in with `hf auth login` (or set HF_TOKEN)"
            )
        case errors.RevisionNotFoundError():
            return (
                f"{model_id} has no revision {revision}: give a branch, tag or commit that {page} lists, "
                "or leave it out"
            )
        case errors.LocalEntryNotFoundError():
            return (
                f"{at} is no local directory, the cache {constants.HF_HUB_CACHE} holds no whole copy, and "
                f"{_reason(error)}: {_use_a_copy(model_id, revision)}"
            )
    return (
        f"{at} is no local directory and cannot be fetched from {constants.ENDPOINT} to {constants.HF_HUB_CACHE}: "
        f"{_first_line(error)}; check the name, the network and the disk, or {_use_a_copy(model_id, revision)}"
    )


def _reason(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, errors.OfflineModeIsEnabled) or constants.is_offline_mode():
        return "HF_HUB_OFFLINE forbids a download"
    # The hub's own first line repeats our first words; its cause names the fault.
    fault = _first_line(cause if isinstance(cause, Exception) else error)
    return f"{constants.ENDPOINT} cannot be reached ({fault})"


def _use_a_copy(model_id: str, revision: str | None = None) -> str:
    at = f" --revision {revision}" if revision else ""
    return (
        f"fetch it where there is a network with `hf download {model_id}{at} --local-dir DIRECTORY`, "
        "and give DIRECTORY in place of the id"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
