"""What doctor-s2t says of how weights are held."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2t_runtime.commands import weights_advice as advice
from s2t_runtime.commands.weights_advice import MAPPED, weights_advice

MEMORY = 'load them with weights="memory" (run-s2t --weights memory)'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my bundle"
    (root / "fp32").mkdir(parents=True)
    for name in ("fp32/a.data", "vocabulary.bin"):
        (root / name).write_bytes(b"1")
        (root / name).chmod(0o644)
    return root


FILES = ("fp32/a.data", "vocabulary.bin")


def mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    path = tmp_path / "mounts"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(advice, "_MOUNTS", path)


def test_a_place_of_ones_own(root: Path) -> None:
    assert weights_advice(root, FILES) == MAPPED


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.s3fs", "9p", "ceph"])
def test_a_network_file_system(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = str(root).replace(" ", "\\040")
    mounts(
        monkeypatch,
        tmp_path,
        f"/dev/a / ext4 rw 0 0\nserver:/x {place} {kind} rw 0 0\nb {place}2 ext4 rw 0 0\n",
    )
    assert weights_advice(root, FILES) == (
        f"{MAPPED}; the bundle is on {kind}, where other machines may: {MEMORY}"
    )


def test_a_local_one_over_a_network_file_system(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts(monkeypatch, tmp_path, f"server:/x {tmp_path} nfs4 rw 0 0\n/dev/b {tmp_path} xfs rw 0 0\nbroken\n")
    assert weights_advice(root, FILES) == MAPPED


def test_a_system_that_does_not_tell(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "_MOUNTS", tmp_path / "none")
    assert weights_advice(root, FILES) == MAPPED


def test_files_that_anyone_may_write_to(root: Path) -> None:
    (root / "vocabulary.bin").chmod(0o646)
    assert weights_advice(root, FILES) == (
        f"{MAPPED}; anyone may write to vocabulary.bin: {MEMORY}, or take that right away"
    )
    assert weights_advice(root, ("missing",)) == MAPPED
