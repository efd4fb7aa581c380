"""How a bundle's weights should be held, judged by where the bundle lies."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "ceph",
    "lustre",
    "gluster",
    "afs",
    "beegfs",
    "gpfs",
    "fuse.",
    "virtiofs",
)
"""What the types of file systems begin with that other machines may write to."""
MAPPED: Final = "mapped from their files while a model runs, which nobody may write to then"
_READ: Final = 'load them with weights="memory" (run-s2t --weights memory)'


def weights_advice(root: Path, files: Iterable[str]) -> str:
    """What to say of a bundle's weights.

    Args:
        root: the bundle's directory.
        files: of the bundle, relative to it.
    """
    kind = _file_system(root)
    if kind is not None and kind.startswith(_NETWORK):
        return f"{MAPPED}; the bundle is on {kind}, where other machines may: {_READ}"
    for name in files:
        if _anyone_may_write(root / name):
            return f"{MAPPED}; anyone may write to {name}: {_READ}, or take that right away"
    return MAPPED


def _file_system(root: Path) -> str | None:
    """The type of the file system; None where the system does not tell."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        path = os.path.realpath(root)
    except OSError:
        return None
    # A later mount lies over an earlier one of the same place.
    mounts = [(_unescaped(fields[1]), fields[2]) for line in lines if len(fields := line.split(" ")) > 2]
    around = [(len(place), kind) for place, kind in mounts if _is_below(path, place)]
    longest = max((length for length, _ in around), default=0)
    return next((kind for length, kind in reversed(around) if length == longest), None)


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def _unescaped(place: str) -> str:
    """Spaces and the like are octal in that file."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)


def _anyone_may_write(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False
