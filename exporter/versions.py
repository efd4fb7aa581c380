"""The versions that this release was tested with; others may work, and parity decides."""

from __future__ import annotations

import importlib.metadata

TESTED = {"torch": "2.13", "transformers": "5.23", "onnx": "1.23", "onnxscript": "0.7", "onnxruntime": "1.32"}


def installed_version(package: str) -> str | None:
    """The installed version, or None (a source tree without metadata)."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def untested_versions() -> list[str]:
    """One warning per package whose version is not the tested one."""
    warnings = []
    for package, tested in TESTED.items():
        installed = installed_version(package)
        if installed is not None and not f"{installed}.".startswith(f"{tested}."):
            warnings.append(
                f"{package} {installed} is installed; export-s2t was tested with {tested}. The parity check decides; "
                f"if it fails: pip install '{package}=={tested}.*'"
            )
    return warnings
