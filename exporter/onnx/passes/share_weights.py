"""Moves weights to external files, every distinct content once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

_MIN_BYTES = 256
"""Smaller initializers stay in the model file: shapes and axes are read while parsing."""
_PAGE = 4096
"""Offsets on page borders let hosts map large weights instead of reading them."""
_MAPPED_BYTES = 1 << 16
_CACHE_LINE = 64
"""Where smaller ones begin: on pages of their own the many biases of a small model would be mostly padding."""


def share_weights(
    models: Sequence[ir.Model],
    directory: Path,
    file_name: str,
    move: Callable[[ir.TensorProtocol], bool] | None = None,
) -> tuple[Sequence[ir.Model], bool]:
    """Write the weights of several models to one file and make the models point into it.

    Equality is decided by content: initializer names are not stable between exports, and the same
    name may hold different numbers in two graphs.

    Args:
        models: changed in place.
        directory: where the models will be saved; the file is written there.
        file_name: name of the weight file.
        move: whether a weight is to go there, others stay where they are; None: all.

    Returns:
        The models, and whether any weight was moved.
    """
    places: dict[tuple[str, str, tuple[int, ...]], tuple[int, int]] = {}
    with (directory / file_name).open("wb") as file:
        for model in models:
            for value in model.graph.initializers.values():
                tensor = value.const_value
                if tensor is None or tensor.nbytes < _MIN_BYTES or not (move is None or move(tensor)):
                    continue
                shape = tuple(int(size) for size in tensor.shape.numpy())
                key = (hashlib.sha256(tensor.tobytes()).hexdigest(), tensor.dtype.name, shape)
                if key not in places:
                    places[key] = _append(file, tensor)
                offset, length = places[key]
                value.const_value = ir.ExternalTensor(
                    file_name,
                    offset,
                    length,
                    tensor.dtype,
                    shape=ir.Shape(shape),
                    name=str(value.name),
                    base_dir=directory,
                )
    if not places:
        (directory / file_name).unlink()
    return models, bool(places)


def _append(file: BinaryIO, tensor: ir.TensorProtocol) -> tuple[int, int]:
    """Offset and length of the tensor's bytes, little-endian as ONNX wants them."""
    data = tensor.tobytes()
    file.write(b"\0" * (-file.tell() % (_PAGE if len(data) >= _MAPPED_BYTES else _CACHE_LINE)))
    offset = file.tell()
    file.write(data)
    return offset, len(data)
