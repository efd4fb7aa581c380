"""Shared fixtures: exports are made once per test session and shared by all workers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from support.absent import needs_absent, what_is_absent
from support.checkout import another_checkout
from support.digits.made import (
    CHECKPOINT,
    made,
    make_bundle,
    make_fp16_bundle,
    make_golden_vectors,
    make_int8_bundle,
    runtime_alone,
)
from support.places import ROOT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from s2t_runtime import SpeechToText

Once = Callable[[str, Callable[[Path], None]], Path]
RECORDINGS_VARIABLE = "S2T_SPOKEN_DIGITS"
OLD_CHECKPOINTS_VARIABLE = "S2T_OLD_CHECKPOINTS"


def pytest_configure() -> None:
    problem = another_checkout(ROOT)
    if problem is not None:
        raise pytest.UsageError(problem)
    # Two workers share two cores: more threads than that only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # No test may reach for the hub, or report to the makers of onnxruntime.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def pytest_report_header() -> list[str]:
    absent = what_is_absent() if runtime_alone() else ()
    return [f"not installed, so tests that import them are left out: {', '.join(absent)}"] if absent else []


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out a file that cannot be imported where the runtime is tested alone; elsewhere it is an error."""
    left_out = runtime_alone() and collection_path.suffix == ".py" and needs_absent(collection_path)
    return True if left_out else None


@pytest.fixture(scope="session")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all workers of a test session."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def once(shared_directory: Path) -> Once:
    """``once(name, make)``: the directory that ``make(path)`` fills, made by whichever worker comes first."""

    def get(name: str, make: Callable[[Path], None]) -> Path:
        before = made(name)
        if before is not None:
            return before
        path = shared_directory / name
        done = shared_directory / f"{name}.done"
        with FileLock(shared_directory / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)  # of a maker that failed
                make(path)
                done.touch()
        return path

    return get


@pytest.fixture(scope="session")
def digits_checkpoint() -> Path:
    """The trained example checkpoint."""
    return CHECKPOINT


@pytest.fixture(scope="session")
def digits_bundle(once: Once) -> Path:
    """The example checkpoint as a bundle, parity checked."""
    return once("digits-bundle", make_bundle)


@pytest.fixture(scope="session")
def digits_fp16_bundle(once: Once, digits_bundle: Path) -> Path:
    """The example bundle with fp16 added, checked with recordings too."""
    return once("digits-fp16-bundle", make_fp16_bundle(digits_bundle))


@pytest.fixture(scope="session")
def digits_int8_bundle(once: Once, digits_bundle: Path) -> Path:
    """The example bundle with int8 added, checked with recordings too."""
    return once("digits-int8-bundle", make_int8_bundle(digits_bundle))


@pytest.fixture(scope="session")
def vectors(once: Once) -> Path:
    """What eager answers to many options: ``support.cpp.reading`` reads it."""
    return once("golden-vectors", make_golden_vectors)


@pytest.fixture(scope="module")
def model(digits_bundle: Path) -> Iterator[SpeechToText]:
    """The example bundle, loaded."""
    import s2t_runtime

    with s2t_runtime.load(digits_bundle, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def waveforms() -> list[NDArray[np.float32]]:
    """A few real and stand-in utterances."""
    from support.digits.audio import usual_batches

    return [waveform for batch in usual_batches() for waveform in batch.waveforms]


@pytest.fixture(scope="session")
def old_checkpoints() -> Path:
    """Checkpoints written by older frameworks, with their answers, beside the checkout or where the variable says."""
    given = os.environ.get(OLD_CHECKPOINTS_VARIABLE)
    directory = Path(given) if given else ROOT.parent / "shared" / "models"
    if not directory.is_dir():
        pytest.skip(
            f"needs checkpoints of older frameworks: set {OLD_CHECKPOINTS_VARIABLE} to their directory"
        )
    return directory


@pytest.fixture(scope="session")
def recordings_directory() -> Path:
    """The Free Spoken Digit Dataset, where it is: beside the checkout, or where the variable says."""
    given = os.environ.get(RECORDINGS_VARIABLE)
    directory = Path(given) if given else ROOT.parent / "shared" / "data" / "spoken_digits"
    if not directory.is_dir():
        pytest.skip(f"needs the Free Spoken Digit Dataset: set {RECORDINGS_VARIABLE} to its directory")
    return directory
