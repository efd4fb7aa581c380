"""kill -9 at any moment: the target holds a whole bundle or nothing, and the next export works."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner
from support.doubles.small_bundles import export, name_of
from support.places import ROOT

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.sources.kinds import RandomWeightsSource
from exporter.commands.export import main
from exporter.errors import ExportError, ParityError
from exporter.onnx.write_graphs import WrittenGraphs
from exporter.options import ExportOptions
from exporter.parity.decodings import GenerateRow
from exporter.parity.graphs import GraphRow
from exporter.parity.report import ParityReport
from exporter.pipeline import export_checkpoint as pipeline
from exporter.pipeline import precision_graphs
from exporter.pipeline.export_checkpoint import export_checkpoint
from graphs import DecoderGeometry, encoder_signature, first_step_signature, with_past_signature
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.errors import BundleError

# Writes a bundle as an export does, a piece at a time, and says on stdout where it is. It stops at the
# moment named by the third argument, to be killed there.
WRITER = """
import pathlib, sys, time
sys.path.insert(0, "tests")
from exporter.pipeline import bundle_writer
from support.doubles.small_bundles import fill

target, text, moment = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def at(name):
    if name == moment:
        print(name, flush=True)
        time.sleep(600)

rename, rmtree, renames = pathlib.Path.rename, bundle_writer.shutil.rmtree, []

def paused_rename(self, to):
    renames.append(to)
    at(f"before rename {len(renames)}")
    rename(self, to)
    at(f"after rename {len(renames)}")

def paused_rmtree(path, **options):
    if ".replaced-" in path.name:
        next(path.rglob("*.onnx")).unlink()
        at("while the old one is deleted")
    rmtree(path, **options)

pathlib.Path.rename, bundle_writer.shutil.rmtree = paused_rename, paused_rmtree
at("before")
with bundle_writer.bundle_directory(target, force=True) as directory:
    at("begun")
    with (directory / "weights").open("wb") as file:
        for piece in range(4):
            file.write(bytes(50_000))
            at(f"piece {piece}")
    at("before the manifest")
    fill(directory, text)
    at("written")
at("done")
"""
WHILE_WRITING = ["before", "begun", "piece 0", "piece 3", "before the manifest", "written", "before rename 1"]


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def kill_at(moment: str, target: Path, text: str = "new") -> None:
    with process("-c", WRITER, str(target), text, moment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == f"{moment}\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path / "output" / "bundle"


def leftovers(target: Path) -> list[str]:
    """What is beside the target, less the random part of its name."""
    return sorted(path.name.rsplit("-", 1)[0] for path in target.parent.iterdir() if path != target)


@pytest.mark.parametrize("moment", WHILE_WRITING)
def test_killed_before_it_is_in_place(target: Path, moment: str) -> None:
    kill_at(moment, target)
    assert not target.exists()
    assert leftovers(target) == ([] if moment == "before" else ["bundle.unfinished"])
    export(target, "later")
    assert name_of(target) == "later"


@pytest.mark.parametrize("moment", ["after rename 1", "done"])
def test_killed_when_it_is_in_place(target: Path, moment: str) -> None:
    kill_at(moment, target)
    assert name_of(target) == "new"
    assert leftovers(target) == []


@pytest.mark.parametrize("moment", WHILE_WRITING)
def test_killed_before_the_old_one_is_replaced(target: Path, moment: str) -> None:
    export(target, "old")
    kill_at(moment, target)
    assert name_of(target) == "old"
    export(target, "later", force=True)
    assert name_of(target) == "later"


@pytest.mark.parametrize("moment", ["after rename 1", "before rename 2"])
def test_killed_between_the_two_renames(target: Path, moment: str) -> None:
    export(target, "old")
    kill_at(moment, target)
    # The one moment without a bundle at the target: the old one is whole at the path that the docs state.
    assert not target.exists()
    (aside,) = target.parent.glob("bundle.replaced-*")
    assert name_of(aside) == "old"
    export(target, "later")
    assert name_of(target) == "later"
    assert name_of(aside) == "old"


@pytest.mark.parametrize("moment", ["after rename 2", "while the old one is deleted", "done"])
def test_killed_when_the_old_one_is_replaced(target: Path, moment: str) -> None:
    export(target, "old")
    kill_at(moment, target)
    assert name_of(target) == "new"
    export(target, "later", force=True)
    assert name_of(target) == "later"


def test_killed_at_no_moment_in_particular(target: Path) -> None:
    export(target, "old")
    generator = random.Random(0)  # noqa: S311 - moments, not secrets
    for number in range(4):
        with process("-c", WRITER, str(target), f"new {number}", "none") as child:
            time.sleep(generator.uniform(0, 1))
            child.kill()
        found = [target] if target.exists() else list(target.parent.glob("bundle.replaced-*"))
        assert any(name_of(bundle) == "old" or name_of(bundle).startswith("new") for bundle in found)


# The same promises of export_checkpoint itself, its slow parts replaced.


def pretend_to_write(
    checkpoint: Checkpoint, geometry: DecoderGeometry, *, directory: Path, **_: Any
) -> WrittenGraphs:
    graphs = WrittenGraphs(
        encoder_signature(geometry, 160),
        first_step_signature(geometry),
        with_past_signature(geometry),
        "shared",
    )
    for graph in (graphs.encoder, graphs.decoder_first_step, graphs.decoder_with_past):
        (directory / f"{graph.name}.onnx").write_bytes(b"graph")
    return graphs


def fill_the_disk(_checkpoint: object, _geometry: object, *, directory: Path, **_: Any) -> NoReturn:
    (directory / "encoder.onnx.data").write_bytes(bytes(100_000))
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def report(*, passed: bool) -> ParityReport:
    graph = GraphRow("logits", 0.5, 0.1, 0.4, 20.0, 0.01, passed)
    return ParityReport("fp32", "cpu", {}, [graph], [GenerateRow("probe", {}, 1, 4, True, False, 0.0, "")])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(precision_graphs, "write_graphs", pretend_to_write)
    monkeypatch.setattr(pipeline, "padding_is_safe", lambda *_: False)
    monkeypatch.setattr(pipeline, "check_parity", lambda *_, **__: report(passed=True))
    return monkeypatch


def test_the_parts_make_a_whole_bundle(
    quick: pytest.MonkeyPatch, target: Path, digits_checkpoint: Path
) -> None:
    result = export_checkpoint(str(digits_checkpoint), ExportOptions(output=target))
    assert name_of(target) == digits_checkpoint.name
    assert open_bundle(target).manifest == result.manifest
    assert result.manifest.provenance["parity"] == "passed"
    # The report travels in the bundle, and the manifest vouches for it too.
    assert {"parity.json", "parity.md", "tokenizer.json", "vocabulary.bin"} < set(result.manifest.files)
    assert leftovers(target) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_leaves_nothing(
    quick: pytest.MonkeyPatch, target: Path, digits_checkpoint: Path, force: bool
) -> None:
    if force:
        export(target, "old")
    quick.setattr(precision_graphs, "write_graphs", fill_the_disk)
    arguments = [str(digits_checkpoint), "-o", str(target), *(["--force"] if force else [])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr == f"export-s2t: error: {target} cannot be written: No space left on device\n"
    assert target.exists() == force
    assert leftovers(target) == []
    if force:
        assert name_of(target) == "old"


def test_a_bundle_that_decodes_otherwise_is_not_written(
    quick: pytest.MonkeyPatch, target: Path, digits_checkpoint: Path
) -> None:
    export(target, "old")
    quick.setattr(pipeline, "check_parity", lambda *_, **__: report(passed=False))
    with pytest.raises(ParityError) as caught:
        export_checkpoint(str(digits_checkpoint), ExportOptions(output=target, force=True))
    assert str(caught.value) == (
        "the exported graphs do not decode as eager PyTorch does, so no bundle was written (--no-check writes it "
        "all the same):\n  - fp32: logits: largest difference 5.00e-01, allowed 1.00e-02"
    )
    assert name_of(target) == "old"
    assert leftovers(target) == []


def test_nothing_opens_before_it_is_proved(
    quick: pytest.MonkeyPatch, target: Path, digits_checkpoint: Path
) -> None:
    """An export that is killed while parity runs leaves a directory that nobody takes for a bundle."""
    seen: list[str] = []

    def look(_checkpoint: Checkpoint, bundle: Bundle, **_: Any) -> ParityReport:
        assert bundle.graph_path("fp32", "encoder").is_file()
        with pytest.raises(BundleError) as caught:
            open_bundle(bundle.root)
        seen.append(str(caught.value).removeprefix(str(bundle.root)))
        return report(passed=True)

    quick.setattr(pipeline, "check_parity", look)
    export_checkpoint(str(digits_checkpoint), ExportOptions(output=target))
    assert seen == [
        " is not a bundle (it has no manifest.json): its export was interrupted; delete it and export again"
    ]
    assert name_of(target) == digits_checkpoint.name


@pytest.mark.parametrize("existing", [0, 1, 2])
def test_a_failure_takes_the_directories_above_the_target_with_it(
    quick: pytest.MonkeyPatch, tmp_path: Path, digits_checkpoint: Path, existing: int
) -> None:
    parts = ["a", "b", "c"]
    there = tmp_path.joinpath(*parts[:existing])
    there.mkdir(parents=True, exist_ok=True)
    quick.setattr(pipeline, "check_parity", lambda *_, **__: report(passed=False))
    with pytest.raises(ParityError):
        export_checkpoint(str(digits_checkpoint), ExportOptions(output=tmp_path.joinpath(*parts)))
    assert there.is_dir()
    assert list(there.iterdir()) == []


def test_a_revision_goes_with_a_name_alone(target: Path) -> None:
    source = RandomWeightsSource("a/b", revision="v1")
    with pytest.raises(ExportError) as caught:
        export_checkpoint(source, ExportOptions(output=target, revision="v2"))
    assert str(caught.value) == (
        "revision v2 goes with a checkpoint given by its name alone: name it in RandomWeightsSource"
    )


def test_without_the_check_nothing_is_compared(
    quick: pytest.MonkeyPatch, target: Path, digits_checkpoint: Path
) -> None:
    quick.setattr(pipeline, "check_parity", None)
    options = ExportOptions(output=target, check=False, num_beams=4, max_new_tokens=30)
    result = export_checkpoint(str(digits_checkpoint), options)
    assert result.parity == ()
    assert result.manifest.provenance["parity"] == "not checked"
    assert "parity.json" not in result.manifest.files
    assert (result.manifest.generation["num_beams"], result.manifest.generation["max_new_tokens"]) == (4, 30)


def test_too_short_a_limit_of_audio(quick: pytest.MonkeyPatch, target: Path, digits_checkpoint: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export_checkpoint(str(digits_checkpoint), ExportOptions(output=target, max_audio_s=0.02))
    assert str(caught.value) == (
        "max_audio_s 0.02 is 320 samples, below the encoder's minimum of 400: raise --max-audio-seconds"
    )
    assert not target.exists()
    assert leftovers(target) == []


# And of real processes.

EXPORT = "from exporter.commands.export import main; main()"


@pytest.mark.broad
@pytest.mark.parametrize("after_s", [2.0, 15.0, 40.0, 70.0])
def test_a_real_export_is_killed(tmp_path: Path, digits_checkpoint: Path, after_s: float) -> None:
    """Wherever that is: loading, one of the graphs, parity, or done on a fast machine."""
    target = tmp_path / "bundle"
    with process("-c", EXPORT, str(digits_checkpoint), "-o", str(target)) as child:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(after_s)
        child.kill()
    if target.exists():
        assert name_of(target) == digits_checkpoint.name
    else:
        assert all(path.name.startswith("bundle.unfinished-") for path in tmp_path.iterdir())
    export(target, "later", force=True)
    assert name_of(target) == "later"


@pytest.mark.broad
def test_a_real_export_is_killed_as_its_weights_are_written(tmp_path: Path, digits_checkpoint: Path) -> None:
    target = tmp_path / "bundle"
    with process("-c", EXPORT, str(digits_checkpoint), "-o", str(target)) as child:
        deadline_s = time.monotonic() + 900
        while not list(tmp_path.glob("bundle.unfinished-*/fp32/encoder.onnx.data")):
            assert child.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        child.kill()
    assert not target.exists()
    (unfinished,) = tmp_path.iterdir()
    assert not (unfinished / "manifest.json").exists()


@pytest.mark.broad
def test_a_real_export_is_killed_while_parity_is_checked(tmp_path: Path, digits_checkpoint: Path) -> None:
    """Killed once the last file before the check is there, and again a little later."""
    for after_s in (0.0, 2.0):
        target = tmp_path / f"bundle {after_s}"
        with process("-c", EXPORT, str(digits_checkpoint), "-o", str(target)) as child:
            deadline_s = time.monotonic() + 900
            while not list(tmp_path.glob(f"{target.name}.unfinished-*/vocabulary.bin")):
                assert child.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            time.sleep(after_s)
            child.kill()
        if target.exists():  # a fast machine
            continue
        (unfinished,) = tmp_path.glob(f"{target.name}.unfinished-*")
        with pytest.raises(BundleError, match="its export was interrupted"):
            open_bundle(unfinished)


@pytest.mark.broad
def test_a_real_export_onto_a_full_disk(tmp_path: Path, digits_checkpoint: Path) -> None:
    """No file may grow beyond a megabyte, and the weights of the encoder need six."""
    target = tmp_path / "bundle"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)); "
    done = subprocess.run(
        [sys.executable, "-c", limit + EXPORT, str(digits_checkpoint), "-o", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (f"export-s2t: error: {target} cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []
