"""Bundles as directories of links, the way that caches, deployments and version control keep them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

LARGE = "fp32/encoder.onnx.data"


def files_of(bundle: Path) -> list[str]:
    """Every file of a bundle, manifest.json included, relative to it."""
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


def link(path: Path, target: Path) -> None:
    """A relative link in place of whatever is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


def hub_cache(bundle: Path, directory: Path) -> Path:
    """As huggingface_hub's snapshot_download keeps a repository."""
    repository = directory / "models--owner--name"
    (repository / "blobs").mkdir(parents=True)
    for name in files_of(bundle):
        blob = repository / "blobs" / hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        shutil.copy(bundle / name, blob)
        link(repository / "snapshots" / "0123abc" / name, blob)
    return repository / "snapshots" / "0123abc"


def one_linked_file(bundle: Path, directory: Path) -> Path:
    """DVC, git-annex: a large file lies in a store, by an absolute link."""
    root = Path(shutil.copytree(bundle, directory / "bundle"))
    (directory / "store").mkdir()
    (root / LARGE).rename(directory / "store" / "3f9a")
    (root / LARGE).symlink_to(directory / "store" / "3f9a")
    return root


def all_linked(bundle: Path, directory: Path) -> Path:
    """Nix, Bazel: every file is a link to a place of its own, manifest.json too."""
    for number, name in enumerate(files_of(bundle)):
        stored = directory / "store" / f"{number}-package" / name
        stored.parent.mkdir(parents=True)
        shutil.copy(bundle / name, stored)
        link(directory / "bundle" / name, stored)
    return directory / "bundle"


def kubernetes(bundle: Path, directory: Path) -> Path:
    """A mounted volume: all links stay inside."""
    root = directory / "mounted"
    shutil.copytree(bundle, root / "..2026_01_01")
    link(root / "..data", root / "..2026_01_01")
    for path in sorted((root / "..2026_01_01").iterdir()):
        (root / path.name).symlink_to(f"..data/{path.name}")
    return root


def linked_folder(bundle: Path, directory: Path) -> Path:
    """A precision's folder is a link to another disk."""
    root = Path(shutil.copytree(bundle, directory / "bundle"))
    (root / "fp32").rename(directory / "elsewhere")
    (root / "fp32").symlink_to(directory / "elsewhere")
    return root


def link_inside(bundle: Path, directory: Path) -> Path:
    """The weights lie in another folder of the bundle."""
    root = Path(shutil.copytree(bundle, directory / "bundle"))
    (root / "weights").mkdir()
    (root / LARGE).rename(root / "weights" / "3f9a")
    link(root / LARGE, root / "weights" / "3f9a")
    return root


def folder_inside(bundle: Path, directory: Path) -> Path:
    """A precision's folder is a link to another one of the bundle."""
    root = Path(shutil.copytree(bundle, directory / "bundle"))
    (root / "fp32").rename(root / "graphs")
    (root / "fp32").symlink_to("graphs")
    return root


def linked_root(bundle: Path, directory: Path) -> Path:
    """The bundle's directory is a link."""
    shutil.copytree(bundle, directory / "version-1")
    (directory / "latest").symlink_to("version-1")
    return directory / "latest"


def hard_links(bundle: Path, directory: Path) -> Path:
    """Every file has a second name."""
    shutil.copytree(bundle, directory / "other")
    return Path(shutil.copytree(directory / "other", directory / "bundle", copy_function=os.link))


LAYOUTS: Mapping[str, Callable[[Path, Path], Path]] = MappingProxyType(
    {
        layout.__name__: layout
        for layout in (
            hub_cache,
            one_linked_file,
            all_linked,
            kubernetes,
            linked_folder,
            link_inside,
            folder_inside,
            linked_root,
            hard_links,
        )
    }
)
"""Name -> what makes such a directory of a bundle, below an empty one, and returns the bundle's root."""
