"""Holds the files of a bundle against its manifest.

What each level of verification catches:

=======================================================  ======  ======
alteration                                               "fast"  "full"
=======================================================  ======  ======
file missing, truncated or grown                         yes     yes
path that leaves the bundle                              yes     yes
bytes changed, size kept, file under 64 MiB              yes     yes
bytes changed, size kept, file of 64 MiB or more         no      yes
the same, behind a link that leaves the bundle           yes     yes
weights without a hash behind such a link                yes     yes
=======================================================  ======  ======

Other files that the manifest does not name (compiled engines, notes) are not looked at. The manifest vouches for the
files and nothing vouches for the manifest, so a link may take that one anywhere: hashes tell damage, not forgery.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from s2t_runtime.bundles.links import leads_elsewhere
from s2t_runtime.bundles.manifest import FileInfo, Manifest
from s2t_runtime.errors import BundleError

MANIFEST_NAME: Final = "manifest.json"
FAST_HASH_LIMIT: Final = 64 * 2**20
"""Bytes; "fast" hashes the files below it: all but the weights, in well under a second."""
WEIGHTS_SUFFIX: Final = ".data"
"""Of the files beside the graphs that hold their weights: fp32/encoder.onnx.data."""

_REMEDY: Final = "copy the bundle again or export again"
_SHOWN_PROBLEMS: Final = 5


def check_files(
    root: Path, manifest: Manifest, graphs: Sequence[str], verify: Literal["fast", "full"]
) -> None:
    """Check that the files are there, and that they are what the manifest says.

    Args:
        root: the bundle's directory.
        manifest: its parsed manifest.json.
        graphs: the paths of all graphs in it.
        verify: "full" hashes every file; "fast" those under 64 MiB and those behind links that leave the bundle,
            for which nothing else vouches.

    Raises:
        BundleError: a path that leaves the bundle, or files that are missing or altered; the message names them.
    """
    for name in (*manifest.files, *graphs):
        _check_path(root, name)
    elsewhere = {name: real for name in manifest.files if (real := _elsewhere(root, name))}
    unlisted = [name for name in graphs if name not in manifest.files]
    if unlisted:
        raise BundleError(
            f"{root / MANIFEST_NAME} names graphs that are not among its files: "
            f"{', '.join(unlisted)}: export again"
        )
    shown = {
        name: f"{name} (a link to {elsewhere[name]})" if name in elsewhere else name
        for name in manifest.files
    }
    problems = _size_problems(root, manifest, shown)
    if not problems:  # a file of a wrong size needs no hashing, and hashing may take long
        problems = [
            problem
            for name, wanted in manifest.files.items()
            if verify == "full" or wanted.size < FAST_HASH_LIMIT or name in elsewhere
            if (problem := _hash_problem(root / name, shown[name], wanted))
        ]
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        listed = "; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more files" if more > 0 else "")
        raise BundleError(f"the bundle {root} is damaged: {listed}: {_REMEDY}")
    _check_unlisted_weights(root, manifest, graphs)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file in lower-case hex, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_path(root: Path, relative: str) -> None:
    """Refuse a path of the manifest that is not plainly a path below the bundle."""
    reason = ""
    if "\\" in relative or re.match(r"[A-Za-z]:", relative):
        reason = "has a backslash or a drive letter"  # elsewhere it would mean another file
    elif any(ord(character) < 32 for character in relative):
        reason = "has a control character"
    elif relative.startswith("/"):
        reason = "is absolute"
    elif any(part in {"", ".", ".."} for part in relative.split("/")):
        reason = 'has an empty, "." or ".." part'
    if reason:
        raise BundleError(
            f"{root / MANIFEST_NAME} names the path {relative!r}, which {reason}; wanted a path below "
            "the bundle with forward slashes: export again"
        )


def _elsewhere(root: Path, relative: str) -> Path | None:
    """Where a link takes a file out of the bundle; None: nowhere."""
    try:
        return leads_elsewhere(root, root / relative)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise BundleError(f"{root / relative} cannot be followed ({error}): {_REMEDY}") from error


def _check_unlisted_weights(root: Path, manifest: Manifest, graphs: Sequence[str]) -> None:
    """Refuse weights that no hash vouches for behind a link that leaves: it is the graphs that name their weights."""
    for graph in graphs:
        folder = (root / graph).parent
        for path in sorted(folder.glob(f"*{WEIGHTS_SUFFIX}")):
            name = path.relative_to(root).as_posix()
            if name in manifest.files or not (real := _elsewhere(root, name)):
                continue
            if os.fsencode(path.name) in _bytes_of(root / graph):  # a stray file hurts nobody
                raise BundleError(
                    f"{path} is a link that leaves the bundle, to {real}, and {MANIFEST_NAME} has no hash of it; "
                    "wanted a file inside, or one that the manifest lists: export again"
                )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error


def _size_problems(root: Path, manifest: Manifest, shown: Mapping[str, str]) -> list[str]:
    problems = []
    for relative, wanted in manifest.files.items():
        name = shown[relative]
        try:
            status = (root / relative).stat()  # once: it may vanish between two questions
        except (FileNotFoundError, NotADirectoryError):
            problems.append(f"{name} is missing")
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
        else:
            if not stat.S_ISREG(status.st_mode):
                problems.append(f"{name} is not a regular file")
            elif status.st_size != wanted.size:
                problems.append(f"{name} has {status.st_size} bytes, wanted {wanted.size}")
    return problems


def _hash_problem(path: Path, shown: str, wanted: FileInfo) -> str | None:
    try:
        got = sha256_of(path)
    except OSError as error:
        return f"{shown} cannot be read ({error.strerror})"
    if got == wanted.sha256.lower():
        return None
    return f"{shown} has sha256 {got}, wanted {wanted.sha256}"
