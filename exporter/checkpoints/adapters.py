"""Adapters (LoRA and its kin) beside a checkpoint: weights that the model's own file does not hold."""

from __future__ import annotations

from pathlib import Path

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def adapter_files(directory: Path) -> list[str]:
    """Names of the files of an adapter that are there."""
    return [name for name in (CONFIG, *_WEIGHTS) if (directory / name).is_file()]


def adapter_reasons(directory: Path) -> list[str]:
    """Why a directory with an adapter cannot be exported: the model's own weights are the base model's alone.

    transformers loads the adapter only where peft is installed, so that the same directory decodes in two ways.
    """
    present = adapter_files(directory)
    if not present:
        return []
    return [
        f"there is an adapter ({', '.join(present)}), whose weights are not part of the model's own: load it with "
        "peft, call merge_and_unload() and save_pretrained() into another directory, and export that; without the "
        "adapter, remove its files"
    ]
