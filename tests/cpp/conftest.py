"""What `make cpp` built and the bundle that it is tried on; without them these tests are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BUNDLE_VARIABLE = "S2T_CPP_BUNDLE"


def _path(variable: str) -> Path:
    value = os.environ.get(variable)
    if value is None:
        pytest.skip(f"needs what make cpp builds: make test-cpp sets {variable}")
    return Path(value)


@pytest.fixture(scope="session")
def cpp_build() -> Path:
    """The directory that CMake built into."""
    return _path("S2T_CPP_BUILD")


@pytest.fixture(scope="session")
def cpp_bundle() -> Path:
    """The digits bundle."""
    return _path(BUNDLE_VARIABLE)


@pytest.fixture(scope="session")
def digits_bundle(request: pytest.FixtureRequest) -> Path:
    """The same where there is one; else that of all tests, which is exported first."""
    given = os.environ.get(BUNDLE_VARIABLE)
    bundle: Path = Path(given) if given else request.getfixturevalue("digits_bundle")
    return bundle
