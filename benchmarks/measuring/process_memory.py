"""Memory of this process, as Linux counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FIELDS: Final = ("RssAnon", "VmRSS", "VmHWM")
"""Memory that no file stands behind; all that is resident; the most that ever was."""


def process_memory() -> dict[str, int]:
    """Bytes, by name of FIELDS."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: 1024 * int(fields[name].split()[0]) for name in FIELDS}
