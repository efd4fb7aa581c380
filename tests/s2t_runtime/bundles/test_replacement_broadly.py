"""Readers of a bundle that is replaced all the time: each load gives one bundle or a sentence."""

from __future__ import annotations

import collections
import multiprocessing
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.digits.replaced import RECORDING, answer, write_two

from s2t_runtime.errors import BundleError

_SECONDS = 10


def _write(live: Path, sources: tuple[Path, Path], ends: float, written: Any) -> None:
    from exporter.pipeline.bundle_writer import bundle_directory

    count = 0
    while time.time() < ends:
        with bundle_directory(live, force=True) as directory:
            shutil.copytree(sources[count % 2], directory, dirs_exist_ok=True)
        count += 1
        time.sleep(0.15)
    written.put(count)


def _read(live: Path, ends: float, answers: Any) -> None:
    found: collections.Counter[Any] = collections.Counter()
    while time.time() < ends:
        try:
            found[answer(live)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
            found[type(error)] += 1
    answers.put(found)


@pytest.fixture(scope="module")
def two(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("two")
    write_two(digits_bundle, directory / "one", directory / "other")
    return directory / "one", directory / "other"


@pytest.mark.broad
def test_no_load_gives_a_mixture(two: tuple[Path, Path], tmp_path: Path) -> None:
    live = tmp_path / "live"
    shutil.copytree(two[0], live)
    context = multiprocessing.get_context("spawn")
    answers, written = context.Queue(), context.Queue()
    ends = time.time() + _SECONDS
    processes = [context.Process(target=_write, args=(live, two, ends, written))]
    processes += [context.Process(target=_read, args=(live, ends, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    found = answers.get(timeout=120) + answers.get(timeout=120)
    assert written.get(timeout=120) > 5
    for process in processes:
        process.join()
    assert set(found) <= {answer(two[0]), answer(two[1]), BundleError}
    assert found[answer(two[0])] > 0
    assert found[answer(two[1])] > 0


@pytest.mark.broad
def test_the_c_host_gives_no_mixture(two: tuple[Path, Path], tmp_path: Path) -> None:
    cli = Path(os.environ.get("S2T_CPP_BUILD", "build/cpp")) / "s2t-cli"
    if not cli.exists():
        pytest.skip("needs the C++ host: make cpp")
    live = tmp_path / "live"
    shutil.copytree(two[0], live)

    def said(root: Path) -> str:
        command = [
            str(cli),
            str(root),
            str(RECORDING),
            "--num-beams",
            "1",
            "--max-new-tokens",
            "3",
            "--threads",
            "1",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.partition(" (")[2].partition(",")[0] or done.stderr

    context = multiprocessing.get_context("spawn")
    known = {said(two[0]), said(two[1])}
    assert len(known) == 2
    written = context.Queue()
    ends = time.time() + _SECONDS
    process = context.Process(target=_write, args=(live, two, ends, written))
    process.start()
    found = collections.Counter(said(live) for _ in iter(lambda: time.time() < ends, False))
    process.join()
    assert all(text in known or text.startswith("s2t-cli: error: ") for text in found), found
    assert sum(found[text] for text in known) > 0
