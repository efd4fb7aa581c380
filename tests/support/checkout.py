"""Whether the installed commands are those of the checkout whose tests run."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from urllib.parse import unquote, urlparse


def editable_checkout(direct_url: str | None) -> Path | None:
    """Where an editable installation has its source; None for a wheel, or for what is not installed.

    Args:
        direct_url: content of the distribution's direct_url.json (PEP 610).
    """
    document = json.loads(direct_url) if direct_url else {}
    if not document.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(document["url"]).path))


def another_checkout(root: Path) -> str | None:
    """What is wrong where commands would run another checkout's code.

    Args:
        root: of the checkout that is tested.
    """
    try:
        distribution = importlib.metadata.distribution("export-s2t")
    except importlib.metadata.PackageNotFoundError:
        return None
    installed = editable_checkout(distribution.read_text("direct_url.json"))
    if installed is None or installed.resolve() == root.resolve():
        return None
    return (
        f"this environment's commands run the checkout {installed}, but the tests are of {root}: give this checkout an "
        "environment of its own (make VENV=path), or take that one over with pip install -e ."
    )
