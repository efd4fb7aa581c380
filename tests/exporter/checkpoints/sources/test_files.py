"""Where a checkpoint comes from: a directory, or a hub id served from a cache that was filled before."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub.constants
import pytest

from exporter.checkpoints.sources.files import CheckpointFiles, fetch_weights, locate_checkpoint, read_licence
from exporter.errors import CheckpointError

MODEL = "owner/tiny-speech"
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, offline, and no way to a network should anybody try."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a test reached for the network")

    directory = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(directory))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return directory


def fill(cache: Path, commit: str, *, branch: str = "main", weights: str = "model.safetensors") -> Path:
    """A model as the hub's library lays it out: refs name commits, snapshots hold files."""
    root = cache / f"models--{MODEL.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name in ("config.json", weights):
        (snapshot / name).write_text("{}", encoding="utf-8")
    (snapshot / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n# {commit}\n", encoding="utf-8")
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / branch).write_text(commit, encoding="utf-8")
    return snapshot


def refusal(source: str, revision: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        locate_checkpoint(source, revision)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_directory(tmp_path: Path) -> None:
    directory = tmp_path / "digits"
    directory.mkdir()
    assert locate_checkpoint(str(directory)) == CheckpointFiles(
        source=str(directory), directory=directory, model_id="digits", revision=None, card_url=None
    )


def test_a_directory_has_a_name_however_it_is_spelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "digits"
    directory.mkdir()
    monkeypatch.chdir(directory)
    assert locate_checkpoint(".").model_id == "digits"


def test_a_directory_has_no_revision(tmp_path: Path) -> None:
    assert refusal(str(tmp_path), "main") == (
        f"revision main goes with a hub id, but {tmp_path} is a local directory: leave it out"
    )


@pytest.mark.parametrize("source", ["a/b/c", "/nowhere/at/all", "./nowhere", "../a/b", "a b/c", "name:tag"])
def test_neither_a_directory_nor_an_id(source: str) -> None:
    assert refusal(source) == (
        f"{source} is neither a directory nor a model id: give a directory written by save_pretrained(), or an id "
        "such as facebook/wav2vec2-xls-r-300m-en-to-15"
    )


@pytest.mark.parametrize(
    ("revision", "at", "option"), [(None, "", ""), ("v1", " at revision v1", " --revision v1")]
)
def test_offline_without_a_copy(cache: Path, revision: str | None, at: str, option: str) -> None:
    assert refusal(MODEL, revision) == (
        f"{MODEL}{at} is no local directory, the cache {cache} holds no whole copy, and HF_HUB_OFFLINE forbids a "
        f"download: fetch it where there is a network with `hf download {MODEL}{option} --local-dir DIRECTORY`, and "
        "give DIRECTORY in place of the id"
    )


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (TimeoutError(), "TimeoutError"),
        (ConnectionError("[Errno -3] Temporary failure\nand a second line"), "[Errno -3] Temporary failure"),
    ],
)
def test_any_other_fault(monkeypatch: pytest.MonkeyPatch, cache: Path, error: Exception, shown: str) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert refusal(MODEL) == (
        f"{MODEL} is no local directory and cannot be fetched from {huggingface_hub.constants.ENDPOINT} to {cache}: "
        f"{shown}; check the name, the network and the disk, or fetch it where there is a network with `hf download "
        f"{MODEL} --local-dir DIRECTORY`, and give DIRECTORY in place of the id"
    )


def test_an_id_that_the_hub_would_refuse() -> None:
    message = refusal("a--b/c")
    assert message.startswith("a--b/c is no local directory and cannot be fetched from ")
    assert ": Cannot have -- or .. in repo_id: " in message


def test_a_copy_in_the_cache_is_used_offline(cache: Path) -> None:
    snapshot = fill(cache, FIRST)
    assert locate_checkpoint(MODEL) == CheckpointFiles(
        source=MODEL,
        directory=snapshot,
        model_id=MODEL,
        revision=FIRST,
        card_url=f"https://huggingface.co/{MODEL}",
    )
    assert read_licence(snapshot) == "apache-2.0"


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_cache_that_another_program_filled(cache: Path, weights: str) -> None:
    """As from_pretrained fills it, without a list of what the hub has."""
    fill(cache, FIRST, weights=weights)
    fetch_weights(locate_checkpoint(MODEL))


def test_a_cache_without_weights(cache: Path) -> None:
    (fill(cache, FIRST) / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"^{MODEL} has no weights that can be read") as caught:
        fetch_weights(locate_checkpoint(MODEL))
    assert "; it has README.md, config.json: have it saved with model.save_pretrained()" in str(caught.value)


def test_the_weights_of_a_directory_are_not_fetched(tmp_path: Path) -> None:
    fetch_weights(locate_checkpoint(str(tmp_path)), on_stage=pytest.fail)


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(None, FIRST), ("main", FIRST), ("v2", SECOND), (SECOND, SECOND), (FIRST, FIRST)],
)
def test_the_revision_is_honoured(cache: Path, revision: str | None, commit: str) -> None:
    fill(cache, FIRST)
    fill(cache, SECOND, branch="v2")
    found = locate_checkpoint(MODEL, revision)
    assert (found.revision, found.directory.name) == (commit, commit)


def test_a_revision_that_is_not_in_the_cache(cache: Path) -> None:
    fill(cache, FIRST)
    assert refusal(MODEL, "v3").startswith(f"{MODEL} at revision v3 is no local directory, the cache ")


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: mit\n---\n# Card\n", "mit"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\nlanguage: de\n---\n", None),
        ("# Card without front matter\n", None),
        ("---\nlicense: {mit\n---\n", None),
        ("---\n- a\n- list\n---\n", None),
        ("", None),
        # Results that the hub's library cannot parse say nothing about the licence.
        ("---\nlicense: mit\nmodel-index: 3\n---\n", "mit"),
        ("---\nlicense: mit\nmodel-index:\n- name: x\n  results:\n  - task: {}\n---\n", "mit"),
    ],
)
def test_the_cards_licence(tmp_path: Path, text: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert read_licence(tmp_path) == licence


def test_no_card(tmp_path: Path) -> None:
    assert read_licence(tmp_path) is None


def test_a_card_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xff\xfe")
    assert read_licence(tmp_path) is None
