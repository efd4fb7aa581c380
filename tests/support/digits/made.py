"""What tests of the runtime need of the exporter and of eager: made once, and used where there is no torch.

    PYTHONPATH=.:tests:examples/digits python -m support.digits.made DIRECTORY

fills a directory; where S2T_MADE names it, tests take from it instead of making their own.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from support.places import ROOT

VARIABLE = "S2T_MADE"
CHECKPOINT = ROOT / "examples" / "digits" / "checkpoint"
RECORDINGS = ROOT / "examples" / "digits" / "recordings"


def runtime_alone() -> bool:
    """Whether the runtime is tested without what its tests otherwise make."""
    return VARIABLE in os.environ


def made(name: str) -> Path | None:
    """Where something lies that was made before."""
    if not runtime_alone():
        return None
    path = Path(os.environ[VARIABLE], name)
    return path if path.exists() else None


def make_bundle(path: Path) -> None:
    """The example checkpoint as a bundle, parity checked."""
    from exporter import ExportOptions, export_checkpoint

    export_checkpoint(str(CHECKPOINT), ExportOptions(output=path))


def with_precision(bundle: Path, precision: str, recordings: str) -> Callable[[Path], None]:
    """A maker of a copy with a precision added, checked with recordings too."""

    def make(path: Path) -> None:
        from exporter.options import AddOptions
        from exporter.pipeline.add_precision import add_precision

        shutil.copytree(bundle, path)
        spoken = tuple(sorted(RECORDINGS.glob(recordings)))
        add_precision(AddOptions(path, precision, (str(CHECKPOINT),), spoken))

    return make


def make_fp16_bundle(bundle: Path) -> Callable[[Path], None]:
    """One command for both precisions runs in the broad tests."""
    return with_precision(bundle, "fp16", "several_*.wav")


def make_int8_bundle(bundle: Path) -> Callable[[Path], None]:
    """With all recordings that the repository carries."""
    return with_precision(bundle, "int8", "*.wav")


def make_golden_vectors(path: Path) -> None:
    """What eager answers."""
    from support.cpp.golden_vectors import write_golden

    write_golden(path)


def fill(directory: Path) -> None:
    """Make everything anew."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    bundle = directory / "digits-bundle"
    make_bundle(bundle)
    make_fp16_bundle(bundle)(directory / "digits-fp16-bundle")
    make_int8_bundle(bundle)(directory / "digits-int8-bundle")
    make_golden_vectors(directory / "golden-vectors")


if __name__ == "__main__":
    fill(Path(sys.argv[1]).resolve())
