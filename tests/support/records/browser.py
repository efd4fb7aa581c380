"""A real browser, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOUND = next((path for name in BROWSERS if (path := shutil.which(name)) is not None), None)
LIGHT, DARK = 1, 0


def browse(file: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    assert FOUND is not None
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--no-first-run")
    command = [
        FOUND,
        *quiet,
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
        *options,
        file.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, timeout=120, check=True)
