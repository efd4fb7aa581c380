"""Checkpoints as Flax saves them, written from torch models: no jax, no flax.

Names and orientation are those of transformers 4's Flax classes, said here module by module of torch's model; the
product goes the other way, path by path. What both could have wrong is held by tests/data/flax_paths.json, which real
files gave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

FLAX = "flax_model.msgpack"

Flat = dict[tuple[str, ...], torch.Tensor]


def flax_arrays(model: nn.Module) -> Flat:
    """Path of keys -> array: what transformers 4's Flax class of the same configuration saves.

    A weight that is tied to an embedding is saved there alone, computed positions are not saved, and a head of BERT's
    family has one bias.
    """
    flat: Flat = {}
    seen: set[int] = set()
    parameters = dict(model.named_parameters(remove_duplicate=False))
    embeddings_first = sorted(model.named_modules(), key=lambda item: not isinstance(item[1], nn.Embedding))
    for name, module in embeddings_first:
        if "parametrizations" in name or "Sinusoidal" in type(module).__name__:
            continue
        above = tuple(name.split(".")) if name else ()
        heads_bias = f"{name.removesuffix('.decoder')}.bias" if name.endswith(".decoder") else ""
        for leaf, parameter, value in _parts(module):
            if leaf == "bias" and heads_bias in parameters:
                continue
            if id(parameter) not in seen:
                seen.add(id(parameter))
                flat[*above, leaf] = value.detach().clone()
    return flat


def _parts(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Flax's name for each part of a module, torch's parameter, and its value as Flax holds it."""
    if parametrize.is_parametrized(module, "weight"):
        parts: Any = module.parametrizations.weight  # type: ignore[union-attr]
        yield "weight_g", parts.original0, parts.original0
        yield "weight_v", parts.original1, parts.original1
    for name, parameter in module.named_parameters(recurse=False):
        match module, name:
            case ((nn.Linear() | Conv1D()), "weight"):
                yield "kernel", parameter, parameter.T
            case nn.Conv1d(), "weight":
                yield "kernel", parameter, parameter.permute(2, 1, 0)
            case ((nn.LayerNorm() | nn.GroupNorm() | nn.BatchNorm1d()), "weight"):
                yield "scale", parameter, parameter
            case nn.Embedding(), "weight":
                yield "embedding", parameter, parameter
            case _:
                yield name, parameter, parameter


def write_flax(directory: Path, flat: Mapping[tuple[str, ...], Any], *, piece: int | None = None) -> Path:
    """One file; arrays of more than ``piece`` numbers are cut into pieces, as Flax does above 1 GiB."""
    path = directory / FLAX
    path.write_bytes(packed(nested(flat), piece=piece))
    return path


def write_shards(directory: Path, flat: Mapping[tuple[str, ...], Any]) -> tuple[Path, ...]:
    """Two files with every other array, beside the index that names them."""
    names = list(flat)
    paths = tuple(directory / f"flax_model-0000{number}-of-00002.msgpack" for number in (1, 2))
    for first, path in enumerate(paths):
        path.write_bytes(packed(nested({keys: flat[keys] for keys in names[first::2]})))
    weight_map = {"/".join(keys): paths[number % 2].name for number, keys in enumerate(names)}
    document = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (directory / f"{FLAX}.index.json").write_text(json.dumps(document), encoding="utf-8")
    return paths


def nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Maps inside maps, one for each key of a path."""
    tree: dict[str, Any] = {}
    for (*above, leaf), value in flat.items():
        inner = tree
        for key in above:
            inner = inner.setdefault(key, {})
        inner[leaf] = value
    return tree


def packed(tree: Any, *, piece: int | None = None) -> bytes:
    """What ``flax.serialization.msgpack_serialize`` makes of a tree with torch tensors for arrays."""

    def extension(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if piece is not None and value.numel() > piece:
                return _in_pieces(value, piece)
            return msgpack.ExtType(1, array(value))
        raise TypeError(type(value))

    content: bytes = msgpack.packb(tree, default=extension, strict_types=True)
    return content


def array(tensor: torch.Tensor, *, dtype: str | None = None) -> bytes:
    """The content of an array's extension."""
    name = dtype or str(tensor.dtype).removeprefix("torch.")
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return bytes(msgpack.packb((tuple(tensor.shape), name, content), use_bin_type=True))


def _in_pieces(tensor: torch.Tensor, piece: int) -> dict[str, Any]:
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(axis): size for axis, size in enumerate(tensor.shape)},
        "chunks": {str(number): part for number, part in enumerate(tensor.reshape(-1).split(piece))},
    }
