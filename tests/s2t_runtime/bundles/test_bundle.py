"""Opening a bundle: what is checked, at which level of verification, and what the messages say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.doubles.unread_bundle import write_manifest

from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.bundles.verification import FAST_HASH_LIMIT, sha256_of
from s2t_runtime.errors import BundleError, OptionError


def change_manifest(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    change(document)
    (root / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


def rename_in_manifest(root: Path, path: str) -> None:
    """Let the manifest name vocabulary.bin by another path."""
    change_manifest(root, lambda m: m["files"].update({path: m["files"].pop("vocabulary.bin")}))


def refusal(root: Path, verify: Any = "fast") -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(root, verify=verify)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("verify", ["fast", "full"])
def test_a_whole_bundle_opens(root: Path, verify: Any) -> None:
    bundle = open_bundle(str(root), verify=verify)
    assert bundle.root == root
    assert bundle.manifest.default_precision == "fp32"
    assert bundle.path_of("vocabulary.bin").read_text(encoding="utf-8") == "words"
    assert bundle.graph_path("fp32", "encoder") == root / "fp32/encoder.onnx"
    assert bundle.graph_path("fp32", "decoder_with_past") == root / "fp32/decoder_with_past.onnx"
    assert bundle.precision("fp32").encoder.path == "fp32/encoder.onnx"


def test_what_the_bundle_does_not_have_is_refused(root: Path) -> None:
    bundle = open_bundle(root)
    with pytest.raises(BundleError, match=r"holds no engines/a\.plan; its manifest names fp32/decoder"):
        bundle.path_of("engines/a.plan")
    with pytest.raises(OptionError, match=r"precision 'fp16' is not in .*, which has fp32: choose one of"):
        bundle.graph_path("fp16", "encoder")
    with pytest.raises(OptionError, match="graph 'decoder' does not exist: choose one of encoder, decoder_f"):
        bundle.graph_path("fp32", "decoder")


def test_the_level_must_be_known(root: Path) -> None:
    with pytest.raises(OptionError, match=r'verify is \'half\', wanted "fast" or "full"'):
        open_bundle(root, verify="half")  # type: ignore[arg-type]


def test_what_is_not_a_bundle_is_refused(root: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "none").endswith(
        "none does not exist: pass the directory of a bundle, as export-s2t wrote it"
    )
    assert "is a file: pass the directory of a bundle" in refusal(root / "vocabulary.bin")
    assert refusal(tmp_path).endswith(
        "is not a bundle (it has no manifest.json): pass a directory that export-s2t wrote"
    )


def test_what_looks_like_a_hub_id_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s2t_runtime

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError) as caught:
        s2t_runtime.load("facebook/wav2vec2-xls-r-300m-en-to-15")
    assert str(caught.value) == (
        "facebook/wav2vec2-xls-r-300m-en-to-15 does not exist: pass the directory of a bundle, as export-s2t wrote "
        "it; nothing is downloaded here. For a checkpoint of this name on the Hugging Face hub: `export-s2t "
        "facebook/wav2vec2-xls-r-300m-en-to-15 -o OUTPUT`, then pass OUTPUT; for a bundle there: `hf download "
        "facebook/wav2vec2-xls-r-300m-en-to-15 --local-dir OUTPUT`, then pass OUTPUT"
    )


@pytest.mark.parametrize("path", ["bundle", "a/b/c", "/owner/bundle", "../bundle", "a b/c", "a/"])
def test_what_is_plainly_a_path_is_not_taken_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BundleError, match=r"does not exist: pass the directory of a bundle, as export-s2t wrote it$"
    ):
        open_bundle(path)


def test_a_directory_of_that_name_goes_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent.parent)
    assert open_bundle(f"{root.parent.name}/{root.name}").manifest.model.id == "a/b"


def test_a_checkpoint_and_an_interrupted_export_are_known_for_what_they_are(tmp_path: Path) -> None:
    checkpoint, unfinished = tmp_path / "model", tmp_path / "bundle.unfinished-abc"
    for directory in (checkpoint, unfinished):
        directory.mkdir()
    (checkpoint / "config.json").write_text("{}", encoding="utf-8")
    assert refusal(checkpoint) == (
        f"{checkpoint} is not a bundle (it has no manifest.json): it looks like a checkpoint, which `export-s2t "
        f"{checkpoint} -o OUTPUT` turns into one"
    )
    assert refusal(unfinished) == (
        f"{unfinished} is not a bundle (it has no manifest.json): its export was interrupted; delete it and export "
        "again"
    )


@pytest.mark.parametrize("verify", ["fast", "full"])
def test_a_missing_file_is_named(root: Path, verify: str) -> None:
    (root / "fp32/decoder.onnx.data").unlink()
    assert refusal(root, verify) == (
        f"the bundle {root} is damaged: fp32/decoder.onnx.data is missing: "
        "copy the bundle again or export again"
    )


@pytest.mark.parametrize("verify", ["fast", "full"])
def test_truncated_and_grown_files_are_named_together(root: Path, verify: str) -> None:
    (root / "fp32/encoder.onnx").write_text("the enc", encoding="utf-8")
    (root / "vocabulary.bin").write_text("words and more", encoding="utf-8")
    message = refusal(root, verify)
    assert "fp32/encoder.onnx has 7 bytes, wanted 11; vocabulary.bin has 14 bytes, wanted 5" in message


@pytest.mark.parametrize("verify", ["fast", "full"])
def test_one_byte_changed_in_a_small_file_is_caught(root: Path, verify: str) -> None:
    (root / "vocabulary.bin").write_text("sword", encoding="utf-8")
    got, wanted = (hashlib.sha256(text).hexdigest() for text in (b"sword", b"words"))
    assert f"vocabulary.bin has sha256 {got}, wanted {wanted}: copy" in refusal(root, verify)


@pytest.mark.parametrize("size", [FAST_HASH_LIMIT - 1, FAST_HASH_LIMIT])
def test_a_change_of_the_same_size_in_a_large_file_is_caught_by_full_alone(root: Path, size: int) -> None:
    large = root / "fp32/decoder.onnx.data"
    os.truncate(large, size)  # sparse
    write_manifest(root)
    with large.open("r+b") as file:
        file.seek(size - 1)
        file.write(b"x")
    if size < FAST_HASH_LIMIT:
        assert "fp32/decoder.onnx.data has sha256" in refusal(root, "fast")
    else:
        open_bundle(root, verify="fast")
        assert "fp32/decoder.onnx.data has sha256" in refusal(root, "full")


def test_a_long_list_is_shortened(root: Path) -> None:
    for index in range(9):
        (root / f"extra{index}").write_text("x", encoding="utf-8")
    write_manifest(root)
    for index in range(9):
        (root / f"extra{index}").unlink()
    assert "extra4 is missing; and 4 more files: copy" in refusal(root)


def test_a_directory_in_place_of_a_file_is_refused(root: Path) -> None:
    (root / "vocabulary.bin").unlink()
    (root / "vocabulary.bin").mkdir()
    assert "vocabulary.bin is not a regular file" in refusal(root)


def test_files_and_fields_beside_the_manifest_do_not_matter(root: Path) -> None:
    (root / "engines").mkdir()
    (root / "engines/notes.txt").write_text("anything", encoding="utf-8")
    change_manifest(root, lambda m: m.update(future=1))
    open_bundle(root, verify="full")


def test_a_newer_version_is_refused(root: Path) -> None:
    change_manifest(root, lambda m: m.update(format_version=4))
    assert "has format_version 4; this s2t_runtime reads up to 3: install" in refusal(root)


def test_a_manifest_that_is_not_text_is_refused(root: Path) -> None:
    (root / "manifest.json").write_bytes(b"\xff\xfe")
    assert "manifest.json cannot be read" in refusal(root)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../bundle/vocabulary.bin", 'has an empty, "." or ".." part'),
        ("fp32/../vocabulary.bin", 'has an empty, "." or ".." part'),
        ("./vocabulary.bin", 'has an empty, "." or ".." part'),
        ("", 'has an empty, "." or ".." part'),
        ("/etc/passwd", "is absolute"),
        ("fp32\\encoder.onnx", "has a backslash or a drive letter"),
        ("C:vocabulary.bin", "has a backslash or a drive letter"),
        ("C:/vocabulary.bin", "has a backslash or a drive letter"),
        ("vocabulary.bin\0", "has a control character"),
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(root: Path, path: str, reason: str) -> None:
    rename_in_manifest(root, path)
    message = refusal(root)
    assert f"manifest.json names the path {path!r}, which {reason}; wanted a path below" in message
    assert message.endswith("export again")


def test_a_graph_path_that_leaves_the_bundle_is_refused(root: Path) -> None:
    change_manifest(root, lambda m: m["graphs"]["fp32"]["encoder"].update(path="../encoder.onnx"))
    assert "names the path '../encoder.onnx'" in refusal(root)


def test_a_graph_must_be_among_the_files(root: Path) -> None:
    change_manifest(root, lambda m: m["files"].pop("fp32/encoder.onnx"))
    assert "names graphs that are not among its files: fp32/encoder.onnx: export again" in refusal(root)


def test_a_file_that_cannot_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("s2t_runtime.bundles.verification.sha256_of", denied)
    assert "fp32/decoder.onnx.data cannot be read (Permission denied)" in refusal(root)


def test_the_hash_is_that_of_the_bytes(root: Path) -> None:
    assert sha256_of(root / "vocabulary.bin") == hashlib.sha256(b"words").hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_of(root / "none")
