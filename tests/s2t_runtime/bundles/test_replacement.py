"""A bundle that is replaced while it is loaded: what comes of it is one bundle, whichever file is opened meanwhile."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from support.digits.replaced import answer, replace, write_two

import s2t_runtime
import s2t_runtime.model
from s2t_runtime.bundles import bundle, replacement, verification
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.errors import BundleError, OptionError
from s2t_runtime.sessions.onnxruntime.graph_loader import GraphLoader


@pytest.fixture(scope="module")
def two(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("two")
    write_two(digits_bundle, directory / "one", directory / "other")
    return directory / "one", directory / "other"


@pytest.fixture(scope="module")
def answers(two: tuple[Path, Path]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    one, other = answer(two[0]), answer(two[1])
    assert one != other
    return one, other


@pytest.fixture
def places(two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The bundle that is loaded, and the one that will take its place."""
    monkeypatch.setattr(replacement.time, "sleep", lambda _: None)
    live, coming = tmp_path / "live", tmp_path / "coming"
    shutil.copytree(two[0], live)
    shutil.copytree(two[1], coming)
    return live, coming


def at_call(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, act: Callable[[], None]
) -> None:
    """Act before a function is called for the n-th time, from 0 on; once."""
    real, calls = getattr(owner, name), [0]

    def counted(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == call + 1:
            act()
        return real(*args, **options)

    monkeypatch.setattr(owner, name, counted)


# In the order in which files are opened. Hashes are of graphs, weights, vocabulary and tokenizer.
POINTS = {
    "behind the manifest": (bundle, "check_numbers", 0),
    **{f"before hash {call}": (verification, "sha256_of", call) for call in range(7)},
    "before the first graph": (GraphLoader, "load", 0),
    "before the second graph": (GraphLoader, "load", 1),
    "before the vocabulary": (s2t_runtime.model, "load_detokenizer", 0),
    "before the output vocabulary": (Bundle, "output_ids", 0),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_replacement_between_two_files_gives_one_bundle(
    places: tuple[Path, Path], answers: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    owner, name, call = POINTS[point]
    at_call(monkeypatch, owner, name, call, lambda: replace(*places))
    assert answer(places[0]) == answers[1]
    assert not places[1].exists(), "nothing was replaced"


@pytest.mark.skipif(
    not hasattr(ort.SessionOptions, "add_external_initializers_from_files_in_memory"),
    reason="onnxruntime takes weights from memory from 1.24 on",
)
def test_weights_in_memory_are_of_one_bundle_too(
    places: tuple[Path, Path], answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_call(monkeypatch, GraphLoader, "load", 1, lambda: replace(*places))
    assert answer(places[0], weights="memory") == answers[1]


def test_a_link_that_is_switched_gives_one_bundle(
    two: tuple[Path, Path], answers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "live").symlink_to(two[0])

    def switch() -> None:
        (tmp_path / "next").symlink_to(two[1])
        (tmp_path / "next").rename(tmp_path / "live")

    at_call(monkeypatch, GraphLoader, "load", 1, switch)
    assert answer(tmp_path / "live") == answers[1]


def test_a_manifest_that_is_written_over_is_another_one(
    places: tuple[Path, Path], answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_over() -> None:
        manifest = places[0] / "manifest.json"
        before = manifest.stat()
        for path in places[1].rglob(
            "*"
        ):  # each file by renaming, but the manifest in place, at the same time
            if path.is_file() and path.name != "manifest.json":
                path.rename(places[0] / path.relative_to(places[1]))
        manifest.write_bytes((places[1] / "manifest.json").read_bytes())
        os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))

    at_call(monkeypatch, GraphLoader, "load", 1, write_over)
    assert answer(places[0]) == answers[1]


def test_a_bundle_that_is_replaced_again_and_again_is_given_up(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, loads = GraphLoader.load, []

    def load(self: GraphLoader, graph: str) -> Any:
        loads.append(graph)
        if len(loads) % 2:
            shutil.copytree(places[0], places[1], dirs_exist_ok=True)
            replace(*places)
        return real(self, graph)

    monkeypatch.setattr(GraphLoader, "load", load)
    message = (
        f"{places[0]} was replaced during each of 4 attempts to load it: load it again when nothing is written "
        "there"
    )
    with pytest.raises(BundleError, match="^" + re.escape(message) + "$"):
        s2t_runtime.load(places[0], threads=1)
    assert len(loads) == 8


def test_a_bundle_that_vanishes_is_said_to_be_gone(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_call(monkeypatch, GraphLoader, "load", 1, lambda: shutil.rmtree(places[0]))
    with pytest.raises(BundleError, match=f"^{re.escape(str(places[0]))} does not exist: "):
        s2t_runtime.load(places[0], threads=1)


def test_other_errors_are_raised_at_once(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    at_call(monkeypatch, bundle, "check_numbers", 0, lambda: opened.append(0))
    at_call(monkeypatch, bundle, "check_numbers", 1, lambda: opened.append(1))
    with pytest.raises(OptionError, match=r"^precision 'fp8' is not in "):
        s2t_runtime.load(places[0], precision="fp8")
    with pytest.raises(BundleError, match=r"no/such\.bundle does not exist"):
        s2t_runtime.load("no/such.bundle")
    assert opened == [0]
