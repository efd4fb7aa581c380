"""The folders of a bundle that hold engines: found, locked, and put in place whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from exporter.errors import OutputError
from s2t_runtime.bundles.engine_record import ENGINES_DIRECTORY, EngineRecord
from s2t_runtime.bundles.verification import sha256_of
from s2t_runtime.errors import BundleError

_LOCK: Final = ".lock"
_UNFINISHED: Final = ".unfinished-"
_REPLACED: Final = ".replaced-"


@contextlib.contextmanager
def locked_engines(bundle: Path, on_wait: Callable[[], None]) -> Iterator[Path]:
    """The bundle's directory of engines, held by this process alone.

    Whoever holds it may delete what a killed build left behind; the system lets go of it when the
    process ends, however that comes about.

    Args:
        bundle: the bundle's directory.
        on_wait: called where another process holds it.

    Raises:
        OutputError: the bundle cannot be written.
    """
    engines = bundle / ENGINES_DIRECTORY
    try:
        engines.mkdir(exist_ok=True)
        with (engines / _LOCK).open("a") as lock:  # "w" would cut what a link of this name leads to
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in engines.iterdir():
                if left.name.startswith((_UNFINISHED, _REPLACED)):
                    shutil.rmtree(left, ignore_errors=True)
            yield engines
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{engines} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def engine_folder(engines: Path, name: str) -> Iterator[Path]:
    """A temporary folder beside ``engines / name``, renamed into its place when the block succeeds.

    Readers skip names that begin with a dot, so they never see half a folder. Where there is one of that
    name it is moved aside first: a kill at that moment leaves the old folder under a dotted name, which
    the next build deletes.
    """
    target = engines / name
    working = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=engines))
    try:
        yield working
        working.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        if target.exists():
            aside = Path(tempfile.mkdtemp(prefix=_REPLACED, dir=engines))
            target.rename(aside)
            working.rename(target)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            working.rename(target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def usable_record(folder: Path, wanted: EngineRecord) -> EngineRecord | None:
    """The record of an engine that is there, where it is what ``wanted`` describes and its plan is whole.

    Args:
        folder: of the engine.
        wanted: all but what only a build can tell: plan, tensors and census.
    """
    plan, text = folder / f"{wanted.graph}.plan", folder / f"{wanted.graph}.json"
    try:
        found = EngineRecord.from_json(text.read_text(encoding="utf-8"), text.name)
        if _asked(found) != _asked(wanted) or plan.stat().st_size != found.plan_size:
            return None
        return found if sha256_of(plan) == found.plan_sha256 else None
    except (OSError, UnicodeDecodeError, BundleError):  # none, or one that has to be built again anyway
        return None


def _asked(record: EngineRecord) -> tuple[object, ...]:
    return (
        record.record_version,
        record.flavour,
        record.version,
        record.graph,
        record.precision,
        record.targets,
        record.source_path,
        record.source_sha256,
        dict(record.weights_sha256),
        record.profiles,
        dict(record.options),
    )


def keep_engine(old: Path, new: Path, graph: str) -> None:
    """Take an engine over into the folder that replaces its own, without copying gigabytes."""
    for name in (f"{graph}.plan", f"{graph}.json"):
        try:
            os.link(old / name, new / name)
        except OSError:  # a file system without hard links
            shutil.copy2(old / name, new / name)
