"""Links in a bundle: which are followed, what is hashed behind them, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.doubles.unread_bundle import FILES, write_manifest
from support.link_layouts import link

from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.bundles.links import leads_elsewhere
from s2t_runtime.bundles.verification import FAST_HASH_LIMIT
from s2t_runtime.errors import BundleError

WEIGHTS = "fp32/decoder.onnx.data"
BOTH = pytest.mark.parametrize("verify", ["fast", "full"])


def refusal(root: Path, verify: Any = "fast") -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(root, verify=verify)
    message = str(caught.value)
    assert "\n" not in message
    return message


def moved(root: Path, name: str, target: Path) -> Path:
    """Move a file of the bundle and leave a link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / name).rename(target)
    link(root / name, target)
    return target


def as_snapshot(root: Path, repository: Path) -> Path:
    """The bundle as a revision in a hub cache; the files are still its own."""
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.parent.mkdir(parents=True)
    return root.rename(snapshot)


def enlarge(path: Path) -> None:
    """To a size that "fast" does not hash."""
    os.truncate(path, FAST_HASH_LIMIT)  # sparse


def change_last_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")


# --- a place of the bundle's own


@BOTH
def test_links_inside_the_bundle_and_to_it_are_followed(root: Path, tmp_path: Path, verify: Any) -> None:
    (root / "vocabulary.bin").rename(root / "words")
    (root / "vocabulary.bin").symlink_to("words")
    (root / "fp32").rename(root / "graphs")
    (root / "fp32").symlink_to("graphs")
    (tmp_path / "latest").symlink_to(root)
    open_bundle(tmp_path / "latest", verify=verify)
    assert leads_elsewhere(tmp_path / "latest", tmp_path / "latest" / "vocabulary.bin") is None


@pytest.mark.parametrize("kind", ["models", "datasets", "spaces"])
@pytest.mark.parametrize("below", ["", "exports/bundle"])
def test_the_blobs_of_the_hub_cache_are_its_own(root: Path, tmp_path: Path, kind: str, below: str) -> None:
    enlarge(root / WEIGHTS)
    write_manifest(root)
    repository = tmp_path / "hub" / f"{kind}--owner--name"
    snapshot = as_snapshot(root, repository)
    if below:
        (snapshot / below).parent.mkdir(parents=True)
        snapshot.rename(tmp_path / "aside")
        snapshot.mkdir()
        (snapshot / below).parent.mkdir(parents=True)
        snapshot = (tmp_path / "aside").rename(snapshot / below)
    for number, name in enumerate((*FILES, "manifest.json")):
        moved(snapshot, name, repository / "blobs" / f"{number}")
    (tmp_path / "latest").symlink_to(snapshot)
    for path in (snapshot, tmp_path / "latest"):
        open_bundle(path, verify="full")
        assert [name for name in FILES if leads_elsewhere(path, path / name)] == []
    # As in any bundle, "fast" leaves large files unhashed: the cache names its files by their hashes.
    change_last_byte(snapshot / WEIGHTS)
    open_bundle(snapshot, verify="fast")
    assert f"{WEIGHTS} has sha256 " in refusal(snapshot, "full")


@pytest.mark.parametrize(
    ("folder", "target"),
    [
        ("models--owner--name/snapshots/0123abc", "models--owner--other/blobs/1"),
        ("models--owner--name/snapshots/0123abc", "models--owner--name/blobs-2/1"),
        ("models--owner--name/snapshots", "models--owner--name/blobs/1"),
        ("models--owner--name/refs/0123abc", "models--owner--name/blobs/1"),
        ("my-models/snapshots/0123abc", "my-models/blobs/1"),
    ],
)
def test_what_only_looks_like_the_hub_cache_is_not(
    root: Path, tmp_path: Path, folder: str, target: str
) -> None:
    enlarge(root / WEIGHTS)
    write_manifest(root)
    (tmp_path / folder).parent.mkdir(parents=True)
    root = root.rename(tmp_path / folder)
    stored = moved(root, WEIGHTS, tmp_path / target)
    assert leads_elsewhere(root, root / WEIGHTS) == stored
    open_bundle(root)
    change_last_byte(stored)
    assert f"{WEIGHTS} (a link to {stored}) has sha256 " in refusal(root)


def test_blobs_that_are_a_link_are_another_place(root: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = as_snapshot(root, repository)
    stored = tmp_path / "disk" / "1"
    moved(snapshot, WEIGHTS, stored)
    (repository / "blobs").symlink_to(stored.parent)
    link(snapshot / WEIGHTS, repository / "blobs" / "1")
    assert leads_elsewhere(snapshot, snapshot / WEIGHTS) == stored
    open_bundle(snapshot)


# --- anywhere else


@BOTH
@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_link_is_followed_to_what_the_manifest_says(
    root: Path, tmp_path: Path, name: str, verify: Any
) -> None:
    stored = moved(root, name, tmp_path / "store" / "3f9a")
    assert leads_elsewhere(root, root / name) == stored
    open_bundle(root, verify=verify)


def test_a_large_file_behind_a_link_is_hashed_at_every_level(root: Path, tmp_path: Path) -> None:
    enlarge(root / WEIGHTS)
    write_manifest(root)
    stored = moved(root, WEIGHTS, tmp_path / "store" / "3f9a")
    open_bundle(root, verify="fast")
    wanted = hashlib.sha256(stored.read_bytes()).hexdigest()
    change_last_byte(stored)
    got = hashlib.sha256(stored.read_bytes()).hexdigest()
    for verify in ("fast", "full"):
        assert refusal(root, verify) == (
            f"the bundle {root} is damaged: {WEIGHTS} (a link to {stored}) has sha256 {got}, wanted {wanted}: "
            "copy the bundle again or export again"
        )


def test_a_file_in_a_linked_folder_is_behind_a_link(root: Path, tmp_path: Path) -> None:
    enlarge(root / WEIGHTS)
    write_manifest(root)
    (root / "fp32").rename(tmp_path / "elsewhere")
    (root / "fp32").symlink_to(tmp_path / "elsewhere")
    open_bundle(root)
    change_last_byte(tmp_path / "elsewhere" / "decoder.onnx.data")
    assert f"{WEIGHTS} (a link to {tmp_path}/elsewhere/decoder.onnx.data) has sha256 " in refusal(root)


@BOTH
def test_every_file_behind_a_link_is_named_with_where_it_leads(
    root: Path, tmp_path: Path, verify: Any
) -> None:
    words = moved(root, "vocabulary.bin", tmp_path / "store" / "words")
    weights = moved(root, WEIGHTS, tmp_path / "store" / "weights")
    words.write_text("words and more", encoding="utf-8")
    weights.unlink()
    assert refusal(root, verify) == (
        f"the bundle {root} is damaged: {WEIGHTS} (a link to {weights}) is missing; vocabulary.bin (a link to "
        f"{words}) has 14 bytes, wanted 5: copy the bundle again or export again"
    )
    weights.mkdir()
    assert f"{WEIGHTS} (a link to {weights}) is not a regular file; " in refusal(root, verify)


def test_a_broken_link_inside_the_bundle_is_a_missing_file(root: Path) -> None:
    link(root / "vocabulary.bin", root / "words")
    assert "is damaged: vocabulary.bin is missing: copy" in refusal(root)


def test_a_loop_of_links_is_refused(root: Path, tmp_path: Path) -> None:
    link(root / "vocabulary.bin", root / "vocabulary.bin")
    assert "vocabulary.bin cannot be followed" in refusal(root)
    link(root / "vocabulary.bin", tmp_path / "there")
    link(tmp_path / "there", root / "vocabulary.bin")
    assert "vocabulary.bin cannot be followed" in refusal(root)
    link(root / "manifest.json", root / "manifest.json")
    assert "is not a bundle (it has no manifest.json)" in refusal(root)


def test_hashes_do_not_vouch_for_a_path_that_leaves(root: Path, tmp_path: Path) -> None:
    (root / "vocabulary.bin").rename(tmp_path / "words")
    document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    document["files"]["../words"] = document["files"].pop("vocabulary.bin")
    (root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    assert 'names the path \'../words\', which has an empty, "." or ".." part' in refusal(root)


# --- weights that the manifest does not list


def unlisted(root: Path, target: Path) -> Path:
    """Let the encoder name weights that the manifest does not know, behind a link."""
    (root / "fp32/encoder.onnx").write_text("the encoder, location: more.data", encoding="utf-8")
    write_manifest(root)
    target.parent.mkdir(exist_ok=True)
    target.write_text("weights", encoding="utf-8")
    link(root / "fp32/more.data", target)
    return target


@BOTH
def test_weights_without_a_hash_are_refused_behind_a_link(root: Path, tmp_path: Path, verify: Any) -> None:
    stored = unlisted(root, tmp_path / "store" / "3f9a")
    assert refusal(root, verify) == (
        f"{root}/fp32/more.data is a link that leaves the bundle, to {stored}, and manifest.json has no hash of it; "
        "wanted a file inside, or one that the manifest lists: export again"
    )
    stored.unlink()
    assert f"fp32/more.data is a link that leaves the bundle, to {stored}, and" in refusal(root, verify)


def test_they_are_no_other_matter_than_files_inside(root: Path) -> None:
    unlisted(root, root / "weights" / "3f9a")
    open_bundle(root)


def test_a_link_that_no_graph_names_is_not_looked_at(root: Path, tmp_path: Path) -> None:
    unlisted(root, tmp_path / "store" / "3f9a")
    (root / "fp32/encoder.onnx").write_text("the encoder", encoding="utf-8")
    write_manifest(root)  # it takes more.data for a file of the bundle
    document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    del document["files"]["fp32/more.data"]
    (root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    open_bundle(root)
