"""Damage: of bytes as they come from a broken disk or a hostile sender, and of JSON documents that stay JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Generator = np.random.Generator

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**31), 2**63 - 1, 2**63, 10**30, 0.5, -0.0, 1e-320, 1e308, "", "x",
    "é" * 300,
    "../../etc/passwd", "/", "\x00", "1", [], {}, [None], [[]], {"a": 1}, [1, "x"], list(range(300)),
)  # fmt: skip
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged_bytes(rng: Generator, data: bytes, others: bytes = b"") -> bytes:
    """One to five damages: bits, bytes, numbers, pieces lost, doubled, moved, or taken from another file."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not damaged:
            break
        # Half of it at the front, where headers are.
        near = len(damaged) if rng.random() < 0.5 else min(len(damaged), 200)
        place, length = int(rng.integers(near)), int(rng.integers(1, 40))
        kind = int(rng.integers(7))
        if kind == 0:
            damaged[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            damaged[place : place + length] = rng.bytes(length)
        elif kind == 2:
            number = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
            damaged[place : place + 4] = number.to_bytes(4, "little" if rng.random() < 0.7 else "big")
        elif kind == 3:
            del damaged[place : place + length]
        elif kind == 4:
            damaged[place:place] = damaged[place : place + length]
        elif kind == 5:
            del damaged[place:]
        else:
            start = int(rng.integers(max(len(others), 1)))
            damaged[place : place + length] = others[start : start + length]
    return bytes(damaged)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within a document."""
    if path:
        yield path
    inner: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, below in inner:
        yield from _places(below, (*path, key))


def damaged_document(rng: Generator, document: Any) -> Any:
    """One to three values replaced, taken away, or put elsewhere."""
    damaged = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(damaged))
        if not places:
            break
        *folders, key = places[int(rng.integers(len(places)))]
        holder = damaged
        for folder in folders:
            holder = holder[folder]
        kind = rng.random()
        if kind < 0.6:
            holder[key] = copy.deepcopy(NASTY[int(rng.integers(len(NASTY)))])
        elif kind < 0.8:
            del holder[key]
        else:
            *others, other = places[int(rng.integers(len(places)))]
            source = damaged
            try:
                for folder in (*others, other):
                    source = source[folder]
            except (KeyError, IndexError, TypeError):
                continue
            holder[key] = copy.deepcopy(source)
    return damaged


def damaged_json(rng: Generator, text: str) -> bytes:
    """A JSON text with other values, or broken as a text."""
    if rng.random() < 0.2:
        return damaged_bytes(rng, text.encode())
    return json.dumps(damaged_document(rng, json.loads(text))).encode()


Damage = Callable[[Generator], bytes]
