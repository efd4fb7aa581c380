"""Recognises files that are not what their name says: pointers, archives, web pages, and files cut off."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

_POINTER = b"version https://git-lfs"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_PAGES = (b"<!doctype", b"<html")
_HEADER_LENGTH = 8
_LARGEST_HEADER = 100_000_000
"""What safetensors itself reads."""
_AGAIN = "fetch it again"


def damage(path: Path) -> str | None:
    """What a file really is, and what to do; None where nothing is wrong at first sight.

    Looks at the first bytes and at the size, whatever the file's name; a file of weights is looked at for
    completeness as well, which needs its header alone.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(64)
    name = path.name
    if size == 0:
        return f"{name} is empty (0 bytes): {_AGAIN}"
    if path.suffix == ".safetensors" and _another_file(name, begin) is None:
        return _cut_off_safetensors(path, size)
    if begin.startswith(_ZIP) and not zipfile.is_zipfile(path):  # the index of a zip file stands at its end
        return f"{name} is cut off after {size} bytes: {_AGAIN}"
    return _another_file(name, begin)


def _another_file(name: str, begin: bytes) -> str | None:
    if begin.startswith(_POINTER):
        return (
            f"{name} is a Git LFS pointer and not the file itself: run `git lfs pull` there, or fetch the model with "
            "`hf download`"
        )
    if begin.startswith(_GZIP):
        return f"{name} is compressed with gzip: unpack it (gunzip)"
    if begin.lstrip().lower().startswith(_PAGES):
        return f"{name} is a web page, as a failed download leaves it: {_AGAIN}"
    return None


def _cut_off_safetensors(path: Path, size: int) -> str | None:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(_HEADER_LENGTH).ljust(_HEADER_LENGTH, b"\xff"))
        if length > _LARGEST_HEADER:
            return f"{path.name} is no safetensors file: {_AGAIN}, or save the model again"
        header = file.read(length)
    wanted = _HEADER_LENGTH + length
    if len(header) == length:
        try:
            entries = json.loads(header)
            wanted += max(
                (one["data_offsets"][1] for key, one in entries.items() if key != "__metadata__"), default=0
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            return f"{path.name} is no safetensors file: {_AGAIN}, or save the model again"
    return f"{path.name} is cut off after {size} of {wanted} bytes: {_AGAIN}" if size < wanted else None
