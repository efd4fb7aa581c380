"""Puts a bundle in place: written beside its target, renamed when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from exporter.errors import OutputError
from s2t_runtime.bundles.manifest import FileInfo, Manifest
from s2t_runtime.bundles.verification import MANIFEST_NAME, sha256_of

_UNFINISHED = ".unfinished-"
_REPLACED = ".replaced-"


@contextlib.contextmanager
def bundle_directory(target: Path, *, force: bool) -> Iterator[Path]:
    """A temporary directory beside ``target``, renamed into its place when the block succeeds.

    A reader never sees half a bundle: a killed export leaves ``target`` untouched, and beside it a
    directory whose name says what it is and which does not open, for want of a manifest. With ``force`` the
    old bundle is moved aside, the new one into place, and only then is the old one deleted; a kill in
    between leaves the old bundle whole at ``NAME.replaced-*`` beside the target. A failure leaves nothing,
    directories above the target included.

    Raises:
        OutputError: the target exists and ``force`` is not given, or cannot be written (disk full).
    """
    check_target(target, force=force)
    target = target.resolve()  # a link stays: what it points to is replaced
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        yield from _written(_working_directory(target), target, force=force)
    finally:
        if not target.exists():
            _remove_empty(made)


def _working_directory(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{target.name}{_UNFINISHED}", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target.parent} cannot be written: {error.strerror or error}") from error


def _written(working: Path, target: Path, *, force: bool) -> Iterator[Path]:
    try:
        yield working
        # mkdtemp makes it private; a bundle is to be readable like any other output.
        working.chmod(0o777 & ~_umask())
        with _one_at_a_time(target.parent):
            _put_in_place(working, target, force=force)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Let exports to one target follow each other where they rename: each finds a whole bundle or none."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_empty(directories: list[Path]) -> None:
    """Delete directories, innermost first, that were made for a target which did not come about."""
    for directory in directories:
        with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
            directory.rmdir()


def check_target(target: Path, *, force: bool) -> None:
    """Refuse a target that must not be replaced.

    Raises:
        OutputError: it exists without ``force``, it is something other than a bundle, or it cannot be looked at.
    """
    try:
        target = target.resolve()
        if not target.exists():
            return
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    if not force:
        raise OutputError(
            f"{target.name} exists already: choose another --output, or replace it with --force"
        )
    is_empty = target.is_dir() and not any(target.iterdir())
    if not is_empty and not _is_bundle(target):
        raise OutputError(
            f"{target.name} exists and is no bundle (it has no {MANIFEST_NAME} of one); --force replaces bundles "
            "only: choose another --output"
        )


def _is_bundle(target: Path) -> bool:
    """Whether its manifest is one of ours: programs of other kinds have a manifest.json too."""
    try:
        document = json.loads((target / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and "format_version" in document and "graphs" in document


def _put_in_place(working: Path, target: Path, *, force: bool) -> None:
    if not target.exists():
        working.rename(target)
        return
    check_target(target, force=force)
    # mkdtemp reserves a free name; renaming onto an empty directory replaces it.
    aside = Path(tempfile.mkdtemp(prefix=f"{target.name}{_REPLACED}", dir=target.parent))
    try:
        target.rename(aside)
    except OSError:
        aside.rmdir()
        raise
    try:
        working.rename(target)
    except OSError:
        aside.rename(target)
        raise
    try:
        shutil.rmtree(aside)
    except OSError as error:
        raise OutputError(
            f"{target} holds the new bundle, but the old one cannot be deleted: {error.strerror or error}; "
            f"delete {aside} yourself"
        ) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def describe_files(
    directory: Path, known: Mapping[str, FileInfo] = MappingProxyType({})
) -> dict[str, FileInfo]:
    """Size and SHA-256 of every file below ``directory`` but the manifest, by relative POSIX path.

    ``known`` holds files that need no second reading, of gigabytes perhaps.
    """
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    named = {path.relative_to(directory).as_posix(): path for path in paths}
    return {
        name: known.get(name) or FileInfo(path.stat().st_size, sha256_of(path))
        for name, path in named.items()
    }


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write manifest.json, last of all files."""
    (directory / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
