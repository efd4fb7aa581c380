"""Adapters (LoRA and its kin) beside a checkpoint: weights that the model's own file does not hold."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from exporter.checkpoints.sources.weight_files import WEIGHT_FILES

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def adapter_files(directory: Path) -> list[str]:
    """Names of the files of an adapter that are there."""
    return [name for name in (CONFIG, *_WEIGHTS) if (directory / name).is_file()]


def _can_be_merged(directory: Path, present: list[str]) -> bool:
    whole = (
        CONFIG in present and len(present) > 1 and any((directory / name).is_file() for name in WEIGHT_FILES)
    )
    return whole and find_spec("peft") is not None


def adapter_reasons(directory: Path) -> list[str]:
    """Why a directory with an adapter cannot be exported: the model's own weights are the base model's alone.

    transformers loads the adapter only where peft is installed, so that the same directory decodes in two ways.
    Where it is, nothing speaks against it: the adapter is merged as the weights are loaded.
    """
    present = adapter_files(directory)
    if not present or _can_be_merged(directory, present):
        return []
    return [
        f"there is an adapter ({', '.join(present)}), whose weights are not part of the model's own: load it with "
        "peft, call merge_and_unload() and save_pretrained() into another directory, and export that (with peft "
        "installed here, an export merges what lies beside whole weights); without the adapter, remove its files"
    ]
