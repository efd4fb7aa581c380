"""Opens files of weights: names, and tensors that are mapped and not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.checkpoints.weights.files import Form, WeightFiles
from exporter.errors import CheckpointError, brief_error

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""What trainers put a model's weights under, beside their own."""


@dataclass(frozen=True)
class Stored:
    """What files of weights hold."""

    form: Form
    tensors: Mapping[str, Tensor]
    """By the names in the file."""
    wrapper: str | None = None
    """The key that they were found under."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Names of the floating types, sorted."""
        found = {tensor.dtype for tensor in self.tensors.values() if tensor.is_floating_point()}
        return tuple(sorted(_name(dtype) for dtype in found))

    @property
    def first_dtype(self) -> str:
        """Of the first floating tensor, which transformers computes in where a configuration names none."""
        floating = (tensor for tensor in self.tensors.values() if tensor.is_floating_point())
        return next((_name(tensor.dtype) for tensor in floating), "float32")


def open_tensors(files: CheckpointFiles, found: WeightFiles) -> Stored:
    """The tensors of safetensors or PyTorch files, mapped where that can be done.

    Raises:
        CheckpointError: a file cannot be read, or would execute code.
    """
    read = _safetensors if found.form == "safetensors" else _pickled
    stored: dict[str, Any] = {}
    try:
        for path in found.paths:
            stored.update(read(path))
    except Exception as error:  # safetensors, pickle and zip each raise types of their own
        raise CheckpointError(
            f"{files.source}: the weights cannot be loaded: {brief_error(error)}"
        ) from error
    tensors, wrapper = _unwrapped(files, stored)
    return Stored(found.form, tensors, wrapper)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def _pickled(path: Path) -> Mapping[str, Any]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # torch before 1.6 wrote no zip file, and such a one cannot be mapped
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    return loaded if isinstance(loaded, Mapping) else {}


def _unwrapped(files: CheckpointFiles, stored: Mapping[str, Any]) -> tuple[dict[str, Tensor], str | None]:
    # The wrappers first: a trainer's file may hold a tensor of its own beside them, a step or a loss.
    for key in _WRAPPERS:
        inner = stored.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            return {name: value for name, value in inner.items() if isinstance(value, Tensor)}, key
    tensors = {name: value for name, value in stored.items() if isinstance(value, Tensor)}
    if tensors:
        return tensors, None
    raise CheckpointError(
        f"{files.source}: the weights hold no tensors, but {', '.join(sorted(map(str, stored))[:5]) or 'nothing'}: "
        "save the model again with save_pretrained()"
    )
