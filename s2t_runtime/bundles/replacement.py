"""Sees to it that what is loaded of a bundle is of one bundle, though another may be put in its place meanwhile.

A bundle is replaced by renaming a directory, so that its files are those of one export at any one time; but they are
opened one after another. Whoever loads several of them looks at the manifest before the first and after the last.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, Protocol, TypeVar

from s2t_runtime.bundles.verification import MANIFEST_NAME
from s2t_runtime.errors import BundleError, S2TError

_ATTEMPTS: Final = 4
_PAUSE_S: Final = 0.05  # longer than the two renames of a replacement are apart


class Closable(Protocol):
    """What is loaded, and can be let go of again."""

    def close(self) -> None:
        """Let go of it."""


_T = TypeVar("_T", bound=Closable)


@dataclass(frozen=True)
class _Stamp:
    """Which file manifest.json is, and what it holds: by either alone another one could pass for it."""

    device: int
    inode: int
    changed_ns: int  # ctime: copies may keep their source's mtime
    sha256: str


def load_whole(root: str | os.PathLike[str], load: Callable[[], _T]) -> _T:
    """Load what belongs together, again where the bundle was replaced meanwhile.

    Args:
        root: the bundle's directory.
        load: opens the bundle and all that is wanted of it.

    Raises:
        BundleError: the bundle was replaced during every one of a few attempts.
        S2TError: as ``load`` raises them, where the bundle was not replaced.
    """
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_S * attempt)
        # The file stays open, so that no other can get its number while this one is loaded.
        with _opened(root) as file:
            before = _stamp(file)
            try:
                loaded = load()
            except (
                S2TError,
                OSError,
            ):  # a file is missing or altered, perhaps because it is another bundle's
                if _present(root) == before:
                    raise
                continue
            if _present(root) == before:
                return loaded
            loaded.close()
    raise BundleError(
        f"{Path(root)} was replaced during each of {_ATTEMPTS} attempts to load it: load it again when nothing is "
        "written there"
    )


@contextlib.contextmanager
def _opened(root: str | os.PathLike[str]) -> Iterator[BufferedReader | None]:
    """The bundle's manifest; None where none can be opened."""
    with contextlib.ExitStack() as stack:
        file: BufferedReader | None = None
        with contextlib.suppress(OSError, ValueError):  # ValueError: a path with a null character
            file = stack.enter_context(Path(root, MANIFEST_NAME).open("rb"))
        yield file


def _stamp(file: BufferedReader | None) -> _Stamp | None:
    """None where there is no manifest that can be read."""
    if file is None:
        return None
    try:
        status = os.fstat(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return _Stamp(status.st_dev, status.st_ino, status.st_ctime_ns, sha256)


def _present(root: str | os.PathLike[str]) -> _Stamp | None:
    with _opened(root) as file:
        return _stamp(file)
