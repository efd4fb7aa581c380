"""export-s2t --add-precision: a precision more, or the bundle as it was."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner, Result
from support.places import ROOT
from support.tiny import models as tiny_models

from exporter.commands.export import main
from exporter.errors import CheckpointError, ExportError, OutputError, ParityError
from exporter.options import AddOptions
from exporter.parity.report import ParityReport
from exporter.pipeline import add_precision as module
from exporter.pipeline import precision_graphs
from exporter.pipeline.add_precision import add_precision
from exporter.pipeline.precision_graphs import PrecisionGraphs
from exporter.precisions.int8_check import Int8Check
from exporter.reference.hard_audio import AudioCase
from s2t_runtime.bundles.bundle import open_bundle

RECORDING = ROOT / "examples" / "digits" / "recordings" / "one_digit_7.wav"


@pytest.fixture
def bundle(digits_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of its own, whose files may change."""
    return Path(shutil.copytree(digits_bundle, tmp_path / "bundle"))


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_the_rest_of_the_bundle_is_untouched(digits_bundle: Path, digits_int8_bundle: Path) -> None:
    before, after = contents(digits_bundle), contents(digits_int8_bundle)
    added = after.keys() - before.keys()
    assert {name.split("/", maxsplit=1)[0] for name in added} == {"int8"}
    assert {name for name in before if before[name] != after[name]} == {"manifest.json"}
    assert not [path for path in digits_int8_bundle.iterdir() if path.name.startswith(".")]


def test_the_manifest_names_it_last(digits_bundle: Path, digits_int8_bundle: Path) -> None:
    old = open_bundle(digits_bundle).manifest
    new = open_bundle(digits_int8_bundle, verify="full").manifest
    assert list(new.graphs) == ["fp32", "int8"]
    assert new.default_precision == "fp32"
    assert new.graphs["fp32"] == old.graphs["fp32"]
    policy = new.graphs["int8"].policy
    assert policy is not None
    assert policy.base == "int8"
    assert set(policy.fp32_blocks) >= {"features", "norms", "attention", "scores"}
    # The contract is float32's: int8 is inside the graphs alone.
    assert new.graphs["int8"].encoder.outputs == old.graphs["fp32"].encoder.outputs
    assert new.graphs["int8"].decoder_with_past.inputs == old.graphs["fp32"].decoder_with_past.inputs
    added = new.provenance["added"]
    assert isinstance(added, dict)
    assert added["int8"].keys() == {"versions", "parity"}  # what docs/bundle.md lists
    assert added["int8"]["parity"] == "passed"
    assert added["int8"]["versions"].keys() >= {"onnxruntime", "export-s2t"}


def test_it_has_a_parity_report_of_its_own(digits_int8_bundle: Path) -> None:
    (report,) = json.loads((digits_int8_bundle / "int8" / "parity.json").read_text(encoding="utf-8"))
    assert report["passed"]
    assert report["precision"] == "int8"
    assert report["budget"] == {"log_prob_difference": 0.1, "token_agreement": 0.95}
    assert 0 < report["steps"]["log_prob_difference"] <= 0.1
    assert "several_digits_42.wav" in {row["utterance"] for row in report["decodings"]["rows"]}
    assert "int8" in (digits_int8_bundle / "int8" / "parity.md").read_text(encoding="utf-8")


def test_a_precision_that_is_there_is_refused(digits_int8_bundle: Path) -> None:
    message = (
        f"{digits_int8_bundle} has int8 already: add one of those that it lacks, or export again with --force"
    )
    with pytest.raises(OutputError) as caught:
        add_precision(AddOptions(digits_int8_bundle, "int8"))
    assert str(caught.value) == message


def test_an_unknown_precision_is_refused(digits_bundle: Path) -> None:
    with pytest.raises(ExportError) as caught:
        add_precision(AddOptions(digits_bundle, "int3"))
    assert str(caught.value) == "precision int3 is not available; this version writes fp32, fp16, int8"


def test_another_checkpoint_is_refused(bundle: Path, once: tiny_models.Once) -> None:
    other = tiny_models.checkpoint_directory(once, tiny_models.PAIRS[2])
    before = contents(bundle)
    with pytest.raises(CheckpointError, match="give the checkpoint that the bundle was exported from"):
        add_precision(AddOptions(bundle, "int8", (str(other),)))
    assert contents(bundle) == before


def test_graphs_beyond_the_budget_leave_the_bundle_as_it_was(
    bundle: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(bundle)

    def failed(*_: object, **__: object) -> ParityReport:
        return ParityReport("int8", "cpu", {}, (), ())

    monkeypatch.setattr(module, "check_parity", failed)
    result = invoke("--add-precision", "int8", bundle, "--against", digits_checkpoint, "--quiet")
    assert result.exit_code == 1
    assert result.stderr == (
        f"export-s2t: error: int8 does not decode as eager PyTorch does, so {bundle} was left as it is "
        "(--no-check adds it all the same): too many ties\n"
    )
    assert contents(bundle) == before


@pytest.mark.parametrize("moment", ["write", "prove", "name"])
def test_a_failure_at_any_moment_leaves_the_bundle_as_it_was(
    bundle: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = contents(bundle)

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    if moment == "write":
        monkeypatch.setattr(PrecisionGraphs, "write", fail)
    elif moment == "prove":
        monkeypatch.setattr(module, "check_parity", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError) as caught:
        add_precision(AddOptions(bundle, "int8", (str(digits_checkpoint),), check=moment == "prove"))
    assert str(caught.value) == f"{bundle} cannot be written: No space left on device"
    assert contents(bundle) == before


@pytest.mark.parametrize("moment", ["while it computes", "while it checks", "before it fails"])
def test_a_bundle_that_is_replaced_meanwhile_is_left_alone(
    bundle: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The other bundle has the precision already: deleting or naming files in it would spoil it."""
    other = Path(shutil.copytree(bundle, bundle.with_name("other")))
    (other / "int8").mkdir()
    (other / "int8" / "encoder.onnx").write_bytes(b"of the other bundle")
    wanted = contents(other)

    def replaced(*_: object, **__: object) -> None:
        if other.exists():
            bundle.rename(bundle.with_name("gone"))
            other.rename(bundle)

    def written(*arguments: Any) -> None:
        (arguments[4] / "int8").mkdir()  # the working directory
        if moment == "while it computes":
            replaced()

    def checked(*_: object, **__: object) -> tuple[()]:
        replaced()
        if moment == "before it fails":
            raise OSError(5, "Input/output error")
        return ()

    monkeypatch.setattr(module, "_write", written)
    monkeypatch.setattr(module, "_with", lambda manifest, *_: manifest)
    monkeypatch.setattr(module, "_prove", checked)
    said = "was replaced while int8 was made for it: the new one is as it was; add the precision again"
    if moment == "before it fails":
        said = "cannot be written: Input/output error"
    with pytest.raises(OutputError, match=f"^{re.escape(f'{bundle} {said}')}$"):
        add_precision(AddOptions(bundle, "int8", against=(str(digits_checkpoint),)))
    assert contents(bundle) == wanted


def test_two_that_add_at_once_follow_each_other(bundle: Path) -> None:
    order: list[str] = []

    def hold() -> None:
        with module._locked(bundle) as is_same:
            assert is_same()
            order.append("in")
            time.sleep(0.05)
            order.append("out")

    threads = [threading.Thread(target=hold) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["in", "out"] * 3


def test_what_a_kill_left_is_replaced(bundle: Path, digits_checkpoint: Path) -> None:
    (bundle / "int8").mkdir()
    (bundle / "int8" / "encoder.onnx").write_bytes(b"half of it")
    open_bundle(bundle, verify="full")  # nobody sees it
    result = invoke("--add-precision", "int8", bundle, "--against", digits_checkpoint, "--no-check")
    assert result.exit_code == 0, result.output
    manifest = open_bundle(bundle, verify="full").manifest
    assert "int8/encoder.onnx" in manifest.files
    lines = result.stdout.splitlines()
    assert any(line.startswith(f"{bundle}: int8 added, ") and line.endswith(" of fp32's") for line in lines)
    assert "parity: not checked (--no-check); check-s2t does it any time" in lines
    assert lines[-1] == f"next: run-s2t {bundle} AUDIO.wav --precision int8"
    added = manifest.provenance["added"]
    assert isinstance(added, dict)
    assert added["int8"]["parity"] == "not checked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--add-precision", "int8", "bundle", "--num-beams", "3", "--force"],
            "--num-beams, --force cannot go with --add-precision: the bundle keeps what its export was told",
        ),
        (["--add-precision", "int8"], "--add-precision PRECISION needs the BUNDLE to add it to"),
        (
            ["checkpoint", "--against", "other"],
            "--against goes with --add-precision: CHECKPOINT itself is what is exported",
        ),
    ],
)
def test_wrong_command_lines(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_bundle_that_does_not_open_is_said_so(tmp_path: Path) -> None:
    result = invoke("--add-precision", "int8", tmp_path / "none")
    assert result.exit_code == 1
    assert result.stderr.startswith("export-s2t: error: ")
    assert "does not exist" in result.stderr


def test_recordings_alone_judge_int8(
    bundle: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []

    class Watched(Int8Check):
        def __init__(self, float32: Path, working: Path, cases: Sequence[AudioCase], **options: Any) -> None:
            judged.extend(case.name for case in cases)
            super().__init__(float32, working, cases, **options)

    monkeypatch.setattr(precision_graphs, "Int8Check", Watched)
    result = add_precision(AddOptions(bundle, "int8", (str(digits_checkpoint),), audio=(RECORDING,)))
    assert judged == [RECORDING.name]
    (report,) = result.parity
    assert {row.utterance for row in report.decodings} == {RECORDING.name}
    assert not report.stands_in


def test_parity_errors_name_what_differs(
    bundle: Path, digits_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(*_: object, **__: object) -> ParityReport:
        return ParityReport("int8", "cpu", {}, (), ())

    monkeypatch.setattr(module, "check_parity", failed)
    monkeypatch.setattr(ParityReport, "failures", lambda _: ["logits: largest difference 3, allowed 1"])
    with pytest.raises(ParityError, match=r"\n  - logits: largest difference 3, allowed 1$"):
        add_precision(AddOptions(bundle, "int8", (str(digits_checkpoint),)))
