"""A tiny checkpoint, whole and to damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A whole checkpoint, not to be changed."""
    from support.tiny.damaged_checkpoint import save_tiny

    return once("tiny-checkpoint", save_tiny)


@pytest.fixture
def checkpoint(tiny: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "tiny"))
