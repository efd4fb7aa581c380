"""Putting a bundle in place: what is replaced, what is refused, and that a failure leaves nothing behind."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.doubles.small_bundles import export, fill, name_of
from support.link_layouts import hub_cache
from support.places import ROOT

from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, OutputError
from exporter.options import AddOptions
from exporter.pipeline import bundle_writer
from exporter.pipeline.add_precision import add_precision
from exporter.pipeline.bundle_writer import bundle_directory, check_target, describe_files
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.errors import BundleError


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the bundle is to be; nothing else is beside it."""
    (tmp_path / "output").mkdir()
    return tmp_path / "output" / "bundle"


def beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_bundle_is_put_in_place(target: Path) -> None:
    export(target)
    assert name_of(target) == "new"
    assert beside(target) == ["bundle"]


def test_nothing_is_at_the_target_before_the_end(target: Path) -> None:
    with bundle_directory(target, force=False) as directory:
        fill(directory)
        assert not target.exists()
        assert directory.parent == target.parent
        assert directory.name.startswith("bundle.unfinished-")


def test_parents_are_made(target: Path) -> None:
    export(target / "deep" / "er")
    assert name_of(target / "deep" / "er") == "new"


def test_others_may_read_it_as_the_umask_says(target: Path) -> None:
    before = os.umask(0o027)
    try:
        export(target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o750


def test_a_relative_target(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(target.parent)
    export(Path("bundle"))
    assert name_of(target) == "new"


# What is there already.


def test_an_existing_target_is_kept(target: Path) -> None:
    export(target, "old")
    with pytest.raises(OutputError) as caught:
        export(target)
    assert str(caught.value) == ("bundle exists already: choose another --output, or replace it with --force")
    assert name_of(target) == "old"
    assert beside(target) == ["bundle"]


def test_an_existing_target_is_seen_before_any_work(target: Path) -> None:
    export(target, "old")
    reached = []
    with pytest.raises(OutputError), bundle_directory(target, force=False):
        reached.append(True)
    assert reached == []


def test_a_directory_is_named_however_it_is_spelt(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target.mkdir()
    monkeypatch.chdir(target)
    with pytest.raises(OutputError, match=r"^bundle exists already"):
        check_target(Path(), force=False)


def test_force_replaces_a_bundle(target: Path) -> None:
    export(target, "old")
    (target / "engines").mkdir()
    export(target, force=True)
    assert name_of(target) == "new"
    assert not (target / "engines").exists()
    assert beside(target) == ["bundle"]


def test_force_replaces_a_damaged_bundle(target: Path) -> None:
    export(target, "old")
    (target / "fp32" / "encoder.onnx").unlink()
    export(target, force=True)
    assert name_of(target) == "new"


def test_force_takes_an_empty_directory(target: Path) -> None:
    target.mkdir()
    export(target, force=True)
    assert name_of(target) == "new"
    assert beside(target) == ["bundle"]


def test_force_is_harmless_where_nothing_is(target: Path) -> None:
    export(target, force=True)
    assert name_of(target) == "new"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.tex", "years of work"),
        # Web pages and browser extensions have a file of this name.
        ("manifest.json", '{"name": "a web page", "icons": []}'),
        ("manifest.json", "[]"),
        ("manifest.json", "{"),
    ],
)
def test_force_replaces_bundles_only(target: Path, name: str, text: str) -> None:
    target.mkdir()
    (target / name).write_text(text, encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        export(target, force=True)
    assert str(caught.value) == (
        "bundle exists and is no bundle (it has no manifest.json of one); --force replaces bundles only: "
        "choose another --output"
    )
    assert (target / name).read_text(encoding="utf-8") == text


def test_force_replaces_no_file(target: Path) -> None:
    target.write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="is no bundle"):
        export(target, force=True)
    assert target.read_text(encoding="utf-8") == "a file"


def export_beside_another(target: Path) -> None:
    with bundle_directory(target, force=False) as mine:
        fill(mine)
        export(target, "somebody else's")


def test_what_appeared_in_the_meantime_is_kept(target: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        export_beside_another(target)
    assert name_of(target) == "somebody else's"
    assert beside(target) == ["bundle"]


def test_a_link_stays_and_what_it_points_to_is_replaced(target: Path) -> None:
    export(target.with_name("version-1"), "old")
    target.symlink_to("version-1")
    with pytest.raises(OutputError, match=r"^version-1 exists already"):
        export(target)
    export(target, force=True)
    assert target.is_symlink()
    assert name_of(target.with_name("version-1")) == "new"
    assert beside(target) == ["bundle", "version-1"]


def test_what_links_of_the_old_bundle_lead_to_is_left(target: Path) -> None:
    export(target.with_name("version-1"), "old")
    root = hub_cache(target.with_name("version-1"), target.parent)
    blobs = root.parent.parent / "blobs"
    before = {path: path.read_bytes() for path in blobs.iterdir()}
    export(root, force=True)
    assert name_of(root) == "new"
    assert {path: path.read_bytes() for path in blobs.iterdir()} == before
    assert [path for path in root.rglob("*") if path.is_symlink()] == []


def test_a_link_to_nothing(target: Path) -> None:
    target.symlink_to("version-1")
    export(target)
    assert name_of(target) == "new"
    assert beside(target) == ["bundle", "version-1"]


# Failures.


def fail_to_export(target: Path, error: BaseException, *, force: bool = False) -> None:
    with bundle_directory(target, force=force) as directory:
        fill(directory)
        raise error


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_a_failure_in_the_block_leaves_nothing(target: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_to_export(target, error)
    assert beside(target) == []


def test_a_failure_leaves_the_old_bundle(target: Path) -> None:
    export(target, "old")
    with pytest.raises(ValueError, match="a bug"):
        fail_to_export(target, ValueError("a bug"), force=True)
    assert name_of(target) == "old"
    assert beside(target) == ["bundle"]


def test_a_full_disk(target: Path) -> None:
    with pytest.raises(OutputError) as caught:
        fail_to_export(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(caught.value) == f"{target} cannot be written: No space left on device"
    assert beside(target) == []


def test_an_own_error_is_not_wrapped(target: Path) -> None:
    with pytest.raises(OutputError, match=r"^as it is$"), bundle_directory(target, force=False):
        raise OutputError("as it is")


def test_a_target_below_a_file(target: Path) -> None:
    target.write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError) as caught:
        export(target / "bundle")
    assert str(caught.value) == f"{target} cannot be written: File exists"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_cannot_be_written(target: Path) -> None:
    target.parent.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written: Permission denied"):
            export(target)
    finally:
        target.parent.chmod(0o700)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_rename_leaves_the_old_bundle(
    target: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    export(target, "old")
    rename, calls = Path.rename, []

    def sometimes(self: Path, to: Path) -> Path:
        calls.append(to)
        if len(calls) == failing:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", sometimes)
    with pytest.raises(OutputError, match=r"bundle cannot be written: Device or resource busy$"):
        export(target, force=True)
    assert name_of(target) == "old"
    assert beside(target) == ["bundle"]


def test_an_old_bundle_that_cannot_be_deleted_is_named(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(target, "old")
    rmtree = shutil.rmtree

    def fail(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        rmtree(path, ignore_errors=True)

    monkeypatch.setattr(bundle_writer.shutil, "rmtree", fail)
    with pytest.raises(OutputError) as caught:
        export(target, force=True)
    (aside,) = target.parent.glob("bundle.replaced-*")
    assert str(caught.value) == (
        f"{target} holds the new bundle, but the old one cannot be deleted: Permission denied; delete {aside} "
        "yourself"
    )
    assert (name_of(target), name_of(aside)) == ("new", "old")


@pytest.mark.parametrize("force", [False, True])
def test_exports_to_one_target_at_once_leave_one_whole_bundle(target: Path, force: bool) -> None:
    together, ends = threading.Barrier(4), []

    def one(name: str) -> None:
        try:
            with bundle_directory(target, force=force) as directory:
                fill(directory, name)
                together.wait()
            ends.append(name)
        except OutputError as error:
            ends.append(str(error))

    for _ in range(10):
        shutil.rmtree(target, ignore_errors=True)
        ends.clear()
        threads = [threading.Thread(target=one, args=(f"bundle {index}",)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done = [end for end in ends if end.startswith("bundle ") and "exists" not in end]
        assert len(done) == (4 if force else 1)
        assert name_of(target) in done
        refused = "bundle exists already: choose another --output, or replace it with --force"
        assert [end for end in ends if end not in done] == ([] if force else [refused] * 3)
        assert beside(target) == ["bundle"]


LONG = ("n" * 300, "/".join(["d" * 200] * 25))


@pytest.mark.parametrize("name", LONG, ids=["name", "path"])
@pytest.mark.parametrize("force", [False, True])
def test_a_target_whose_name_is_too_long(target: Path, name: str, force: bool) -> None:
    with pytest.raises(OutputError, match=r"cannot be written: File name too long$"):
        export(target.parent / name, force=force)
    assert beside(target) == []


@pytest.mark.parametrize("name", LONG, ids=["name", "path"])
def test_what_is_read_may_have_such_a_name_too(target: Path, name: str) -> None:
    path = target.parent / name
    with pytest.raises(BundleError, match=r" does not exist: pass the directory of a bundle"):
        open_bundle(path)
    message = f"{path} cannot be read (File name too long): give a directory written by save_pretrained()"
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        locate_checkpoint(str(path))
    with pytest.raises(BundleError, match=r" does not exist: "):
        add_precision(AddOptions(path, "int8"))


@pytest.mark.parametrize(
    "name", ["a space", "é 四 \U0001f600", "a\nnewline", "'\"$(x)`;&", "-o", "/".join(["d" * 190] * 20)]
)
def test_a_target_of_any_other_name(target: Path, name: str) -> None:
    path = target.parent / name
    export(path)
    export(path, "newer", force=True)
    assert name_of(path) == "newer"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("full", [True, False])
def test_a_disk_that_is_full_or_may_not_be_written(tmp_path: Path, full: bool) -> None:
    """Real ones, where this process may mount them."""
    place = tmp_path / "disk"
    place.mkdir()
    options = "size=64k" if full else "ro"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        reason = "No space left on device" if full else "Read-only file system"
        with (
            pytest.raises(OutputError, match=f"cannot be written: {reason}$"),
            bundle_directory(place / "bundle", force=False) as directory,
        ):
            (directory / "decoder.onnx.data").write_bytes(bytes(100_000))
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_file_that_cannot_grow(target: Path) -> None:
    """A real write error, from the operating system."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from exporter.pipeline.bundle_writer import bundle_directory\n"
        "from exporter.commands.console import user_errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "with user_errors('export-s2t'), bundle_directory(Path(sys.argv[1]), force=False) as directory:\n"
        "    (directory / 'decoder.onnx.data').write_bytes(bytes(100_000))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"export-s2t: error: {target} cannot be written: File too large\n"
    assert beside(target) == []


# What the manifest says of the files.


def test_files_are_described_but_for_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "fp32").mkdir()
    (tmp_path / "fp32" / "a.onnx").write_bytes(b"abc")
    (tmp_path / "z").write_bytes(b"")
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    found = describe_files(tmp_path)
    assert list(found) == ["fp32/a.onnx", "z"]
    assert found["fp32/a.onnx"].size == 3
    assert found["fp32/a.onnx"].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
