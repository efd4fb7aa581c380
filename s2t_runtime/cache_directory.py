"""The user's cache directory: what running leaves behind never goes into a bundle."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

VARIABLE: Final = "S2T_CACHE"


def cache_directory(*names: str) -> Path:
    """A directory below the cache, made if it is missing.

    Args:
        names: its path below ``$S2T_CACHE``, which is ``$XDG_CACHE_HOME/export-s2t`` or
            ``~/.cache/export-s2t`` where it is not set.

    Raises:
        OSError: it cannot be made.
    """
    given = os.environ.get(VARIABLE)
    shared = os.environ.get("XDG_CACHE_HOME")
    root = Path(given) if given else (Path(shared) if shared else Path.home() / ".cache") / "export-s2t"
    path = root.joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none, and the last writer wins.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
