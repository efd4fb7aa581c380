"""A small bundle to open and to damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.doubles.unread_bundle import write_bundle


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"
