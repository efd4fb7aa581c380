"""Reads the weights that Flax saves, flax_model.msgpack, without flax and without jax.

The format is that of ``flax/serialization.py``: maps inside maps, whose leaves are msgpack extensions. An array is
msgpack once more, (shape, numpy's name of the dtype, bytes); one above 1 GiB is a map of flat pieces.
"""

from __future__ import annotations

import math
import mmap
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import torch

from exporter.errors import CheckpointError, brief_error

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
"""Flax's extension types; a complex number has no place among weights."""
_PIECES = "__msgpack_chunked_array__"
_DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.bool),
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    )
}
"""By numpy's names, which are torch's as well. The bytes have no mark of their order: they are little-endian, jax's."""
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""msgpack's marks of a byte string -> in how many bytes its length follows."""
_MOST_HEADER = 1024
"""Shape and name of an array take less."""


def read_flax(paths: Sequence[Path]) -> dict[tuple[str, ...], torch.Tensor]:
    """Arrays by their path of keys, each in its stored dtype.

    Each array is copied once, out of the mapped file, one at a time: beside the result there is room for the largest.
    Of a saved train state, ``params`` (and ``batch_stats``) are taken, and the optimizer's part is not.

    Args:
        paths: flax_model.msgpack, or all of its shards in any order.

    Returns:
        path of keys -> tensor, contiguous and writable, of the shape that Flax gives it.

    Raises:
        CheckpointError: a file is missing, damaged or no file of Flax weights, or two hold the same array.
    """
    flat: dict[tuple[str, ...], torch.Tensor] = {}
    for path in paths:
        before = len(flat)
        for keys, tensor in _arrays(_weights(_tree(path)), path):
            if keys in flat:
                raise CheckpointError(
                    f"{path}: {'/'.join(keys)} comes twice, here and before it, and each weight is saved once: "
                    "give all shards of one checkpoint, or have it saved anew"
                )
            flat[keys] = tensor
        if len(flat) == before:
            raise CheckpointError(f"{path}: there is no array in it, and Flax weights are maps of arrays")
    return flat


def _tree(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tree = msgpack.unpackb(content, ext_hook=_leaf, raw=False)
    except (OSError, ValueError) as error:  # msgpack's own errors, and that of an empty file, are ValueErrors
        raise CheckpointError(
            f"{path}: no file of Flax weights, or it is damaged: {brief_error(error)}; fetch it anew"
        ) from error
    if not isinstance(tree, dict):
        raise CheckpointError(
            f"{path}: msgpack of {_kind(tree)}, and Flax weights are a map: is this flax_model.msgpack?"
        )
    return tree


def _weights(tree: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The weights of a tree: itself, or ``params`` and ``batch_stats`` of a train state, which share no array."""
    if not _is_map(tree.get("params")):
        return (tree,)
    return tuple(tree[name] for name in ("params", "batch_stats") if _is_map(tree.get(name)))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and _PIECES not in value


def _arrays(trees: Iterable[Mapping[str, Any]], path: Path) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    for keys, leaf in (found for tree in trees for found in _leaves(tree, ())):
        array = _joined(leaf) if isinstance(leaf, dict) else leaf
        if not isinstance(array, torch.Tensor):
            wrong = array.reason if isinstance(array, _Unread) else f"is {_kind(array)}, and no array"
            raise CheckpointError(
                f"{path}: {'/'.join(keys)} {wrong}: have the weights saved by Flax's save_pretrained()"
            )
        yield keys, array


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        keys = (*above, str(key))
        if _is_map(value):
            yield from _leaves(value, keys)
        else:
            yield keys, value


@dataclass(frozen=True)
class _Unread:
    """A leaf that is no array of ours; whether that matters depends on where it stands."""

    reason: str


def _leaf(code: int, data: bytes) -> torch.Tensor | _Unread:
    """What msgpack makes of an extension: a copy of the array in it.

    Only the header goes through msgpack, which would copy the bytes once more.
    """
    if code not in {_ARRAY, _SCALAR}:
        kind = "a complex number" if code == _COMPLEX else f"of the unknown extension type {code}"
        return _Unread(f"is {kind}, and no array")
    try:
        shape, name, content = _fields(data)
    except (msgpack.UnpackException, ValueError, TypeError, LookupError):
        return _Unread("is damaged: an array is its shape, the name of its dtype and its bytes")
    dtype = _DTYPES.get(name)
    if dtype is None:
        return _Unread(f"has the dtype {name}, and none of {', '.join(_DTYPES)}")
    wanted = math.prod(shape) * dtype.itemsize
    if len(content) != wanted:
        return _Unread(f"is damaged: {len(content)} bytes, and {name} {shape} takes {wanted}")
    # A copy, since msgpack's bytes neither begin where numbers may nor may be written to.
    flat = torch.frombuffer(bytearray(content), dtype=dtype) if wanted else torch.empty(0, dtype=dtype)
    return flat.reshape(shape)


def _fields(data: bytes) -> tuple[list[int], str, memoryview]:
    """Shape, name of the dtype and bytes of an array; what it raises says that they are not there."""
    header = msgpack.Unpacker(raw=False)
    header.feed(data[:_MOST_HEADER])
    fields = header.read_array_header()
    shape, name = [operator.index(size) for size in header.unpack()], str(header.unpack())
    if fields != 3 or min(shape, default=0) < 0:
        raise ValueError
    return shape, name, _byte_string(data, header.tell())


def _byte_string(data: bytes, start: int) -> memoryview:
    """The content of the byte string at ``start``, shorter than it says where the data end before."""
    first = start + 1 + _LENGTH_BYTES[data[start]]
    length = int.from_bytes(data[start + 1 : first], "big")
    return memoryview(data)[first : first + length]


def _joined(pieces: dict[str, Any]) -> torch.Tensor | _Unread:
    """An array that was too large for one extension, out of its flat pieces; each is given up once it is copied."""
    damaged = _Unread(
        "is damaged: an array in pieces is its shape and pieces numbered from 0, flat and of one dtype"
    )
    try:
        shape = [operator.index(pieces["shape"][str(axis)]) for axis in range(len(pieces["shape"]))]
        chunks = [pieces["chunks"].pop(str(number)) for number in range(len(pieces["chunks"]))]
    except (KeyError, TypeError, ValueError, AttributeError):
        return damaged
    unread = next((chunk for chunk in chunks if isinstance(chunk, _Unread)), None)
    if unread is not None:
        return unread
    alike = all(isinstance(chunk, torch.Tensor) and chunk.dim() == 1 for chunk in chunks)
    if not chunks or not alike or len({chunk.dtype for chunk in chunks}) > 1 or min(shape, default=0) < 0:
        return damaged
    size = sum(len(chunk) for chunk in chunks)
    if size != math.prod(shape):
        return _Unread(f"is damaged: its pieces hold {size} numbers, and {shape} takes {math.prod(shape)}")
    whole, start = torch.empty(size, dtype=chunks[0].dtype), 0
    chunks.reverse()
    while chunks:
        chunk = chunks.pop()
        whole[start : start + len(chunk)] = chunk
        start += len(chunk)
    return whole.reshape(shape)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
