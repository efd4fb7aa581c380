"""Where the files of a bundle lie once links are followed, and whether that place is the bundle's own.

Caches and deployments keep a bundle as a directory of links. Two places are its own: its directory, and the blobs of
the hub cache that the directory lies in. A link may lead anywhere else as well; what lies there is then held against
its whole hash, whatever its size (``verification``).
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

_HUB_FOLDERS: Final = ("models--", "datasets--", "spaces--")
"""What the hub cache's folder of a repository begins with: models--OWNER--NAME."""


def leads_elsewhere(root: Path, path: Path) -> Path | None:
    """Where a file lies that a link takes out of the bundle; None where it lies in a place of the bundle's own.

    Args:
        root: the bundle's directory; that it is a link itself does not matter.
        path: a file below it, there or not.

    Raises:
        OSError, RuntimeError: it cannot be followed, in a loop of links for example.
    """
    real, directory = resolved(path), root.resolve()
    if real.is_relative_to(directory):
        return None
    blobs = _hub_blobs(directory)
    return None if blobs is not None and real.is_relative_to(blobs) else real


def resolved(path: Path) -> Path:
    """With all links followed; a loop of them raises, which Python itself leaves out from 3.13 on."""
    real = path.resolve()
    if real.is_symlink():
        raise OSError(errno.ELOOP, f"a loop of links at {real}")
    return real


def _hub_blobs(directory: Path) -> Path | None:
    """``models--OWNER--NAME/blobs`` for a directory at or below ``models--OWNER--NAME/snapshots/REVISION``.

    Should ``blobs`` be a link itself, what lies behind it is another place, so that nobody chooses the place by it.
    """
    for revision in (directory, *directory.parents):
        snapshots = revision.parent
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith(_HUB_FOLDERS):
            return snapshots.parent / "blobs"
    return None
