"""The wheel, built from a copy of the source tree, and environments to install it in."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from support.places import ROOT

_NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__")


def build_wheel(directory: Path) -> Path:
    """Build the wheel below a directory; the source tree itself gets no build folders."""
    source = directory / "source"
    shutil.copytree(ROOT, source, ignore=_NOT_SOURCE)
    # The environment's own setuptools saves a download; without one, build fetches it.
    isolation = [] if importlib.util.find_spec("setuptools") is None else ["--no-isolation"]
    output = directory / "dist"
    run(
        [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(output), str(source)],
        directory,
    )
    (wheel,) = output.glob("*.whl")
    return wheel


def make_environment(directory: Path) -> Path:
    """A virtual environment with nothing in it; returns its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", str(directory)], directory.parent)
    return directory / "bin" / "python"


def share_packages(python: Path) -> None:
    """Let an environment see the packages of this one, but not what is installed here in editable mode.

    Paths in a .pth file are searched, but the .pth files of those paths are not read, and editable
    installations are made of such files.
    """
    site_packages = next((python.parents[1] / "lib").glob("python*")) / "site-packages"
    here = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "shared.pth").write_text("\n".join(here) + "\n", encoding="utf-8")


def install(python: Path, *arguments: str) -> None:
    """Run this environment's ``pip install`` for another one."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run([*pip, *arguments], python.parent)


def run(command: list[str], directory: Path) -> str:
    """Run a command; its standard output."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    # Where it lies, for a shell to install.
    print(build_wheel(Path(sys.argv[1]).resolve()))  # noqa: T201
