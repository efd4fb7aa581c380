"""check-s2t: against the right checkpoint, against a changed one, and what it cannot compare."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from support.doubles.small_bundles import export

from exporter.checkpoints.sources.kinds import CheckpointSource, PairSource
from exporter.commands import check as cli_check
from exporter.commands.check import CheckRequest
from exporter.parity.graphs import GraphRow
from exporter.parity.report import ParityReport
from exporter.pipeline.bundle_writer import write_manifest
from exporter.reference.probe_audio import probe_utterance
from s2t_runtime.bundles.bundle import Bundle, open_bundle

CHANGED = "decoder.model.decoder.layers.0.fc2.weight"


def invoke(*args: object) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli_check.main, [str(arg) for arg in args])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, probe_utterance(0.8, 8000, 5), 8000)
    return path


# With a real bundle and its checkpoint.


def test_the_checkpoint_that_it_was_exported_from(
    digits_bundle: Path, digits_checkpoint: Path, recording: Path
) -> None:
    result = invoke(digits_bundle, "--against", digits_checkpoint, "--audio", recording, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (record,) = json.loads(result.stdout)
    kinds = ["precision", "provider", "passed", "versions", "written_tokens", "decodings", "budget", "steps"]
    assert list(record) == [*kinds, "stands_in", "remarks", "graphs"]
    assert record["budget"] is record["steps"] is None  # of lower precisions
    assert (record["precision"], record["provider"], record["passed"]) == ("fp32", "cpu", True)
    assert set(record["versions"]) == {"export-s2t", "torch", "transformers", "onnxruntime"}
    assert [row["output"] for row in record["graphs"]] == [
        "encoder_states",
        "encoder_mask",
        "cross_key",
        "cross_value",
        "logits",
        "candidate_log_probs",
        "candidate_ids",
        "present_key",
        "present_value",
    ]
    assert all(row["passed"] and row["maximum"] <= row["limit"] for row in record["graphs"])
    decodings = record["decodings"]
    assert decodings["compared"] == decodings["identical_tokens"] == len(decodings["rows"])
    # The recording is decoded with every set of options that the built-in probes are decoded with.
    utterances = [row["utterance"] for row in decodings["rows"]]
    assert utterances.count("speech.wav") == utterances.count("probe-0 (1.40 s)") == 8


def test_a_changed_weight_is_found(tmp_path: Path, digits_bundle: Path, digits_checkpoint: Path) -> None:
    checkpoint = Path(shutil.copytree(digits_checkpoint, tmp_path / "changed"))
    path = checkpoint / "model.safetensors"
    path.chmod(0o600)
    weights = load_file(path)
    weights[CHANGED] = weights[CHANGED] * torch.tensor(1.01)
    save_file(weights, path, metadata={"format": "pt"})
    result = invoke(digits_bundle, "--against", checkpoint)
    assert result.exit_code == 1
    assert "## fp32: FAILED" in result.stdout
    lines = [line.split("|") for line in result.stdout.splitlines() if line.startswith("|")]
    marks = {cells[1].strip(): cells[-2].strip() for cells in lines if len(cells) == 9}
    # A layer of the decoder cannot change what the encoder graph gives, and changes all that follows.
    assert {name for name, mark in marks.items() if mark == "ok"} == {
        "encoder_states",
        "encoder_mask",
        "cross_key",
        "cross_value",
    }
    assert {name for name, mark in marks.items() if mark == "FAILED"} == {
        "logits",
        "candidate_log_probs",
        "candidate_ids",
        "present_key",
        "present_value",
    }


# What it cannot compare.


def test_a_local_export_needs_to_be_told(digits_bundle: Path, digits_checkpoint: Path) -> None:
    result = invoke(digits_bundle)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"check-s2t: error: the bundle was exported from a local directory ({digits_checkpoint.name}), which the "
        "manifest cannot find again: give it with --against CHECKPOINT\n"
    )


@pytest.mark.parametrize("args", [["--precision", "fp16"], ["--precision", "fp32,fp16"]])
def test_a_precision_that_it_has_not(digits_bundle: Path, digits_checkpoint: Path, args: list[str]) -> None:
    result = invoke(digits_bundle, "--against", digits_checkpoint, *args)
    assert result.exit_code == 1
    assert result.stderr == (
        f"check-s2t: error: precision 'fp16' is not in {digits_bundle}, which has fp32: choose one of these, or "
        "add it with export-s2t --add-precision\n"
    )


def test_no_bundle(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--against", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == (
        f"check-s2t: error: {tmp_path} is not a bundle (it has no manifest.json): pass a directory that export-s2t "
        "wrote\n"
    )


def test_no_checkpoint(digits_bundle: Path, tmp_path: Path) -> None:
    result = invoke(digits_bundle, "--against", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"check-s2t: error: {tmp_path} has no config.json")


@pytest.mark.parametrize(("content", "shown"), [(None, "absent.wav"), (b"no sound", "absent.wav")])
def test_a_recording_that_cannot_be_read(
    digits_bundle: Path, digits_checkpoint: Path, tmp_path: Path, content: bytes | None, shown: str
) -> None:
    path = tmp_path / "absent.wav"
    if content is not None:
        path.write_bytes(content)
    result = invoke(digits_bundle, "--against", digits_checkpoint, "--audio", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("check-s2t: error: ")
    assert shown in result.stderr
    assert len(result.stderr.splitlines()) == 1


# Where it looks, and what it is told.


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The checkpoints and comparisons that a run asks for; none is made."""
    asked: list[Any] = []
    row = GraphRow("logits", 0, 0, 0, 1, 1, passed=True)

    def compare(_checkpoint: object, _bundle: Bundle, *, precision: str, **options: Any) -> ParityReport:
        asked.append((precision, options["provider"]))
        return ParityReport(precision, options["provider"], {}, [row], [])

    monkeypatch.setattr("exporter.checkpoints.load.load_source", lambda source, _: asked.append(source))
    monkeypatch.setattr("exporter.parity.check.check_parity", compare)
    return asked


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """As exported from the hub, in two precisions."""
    root = tmp_path / "bundle"
    export(root)
    manifest = open_bundle(root).manifest
    write_manifest(
        dataclasses.replace(
            manifest,
            model=dataclasses.replace(manifest.model, id="owner/model", revision="1" * 40),
            graphs={"fp32": manifest.graphs["fp32"], "fp16": manifest.graphs["fp32"]},
        ),
        root,
    )
    return root


def test_the_manifests_model_and_revision_are_taken(bundle: Path, asked: list[Any]) -> None:
    invoke(bundle)
    assert asked == [CheckpointSource("owner/model", "1" * 40), ("fp16", "cpu"), ("fp32", "cpu")]


def test_against_goes_first(bundle: Path, asked: list[Any]) -> None:
    invoke(bundle, "--against", "another/model", "--provider", "cuda", "--precision", "fp32")
    assert asked == [CheckpointSource("another/model"), ("fp32", "cuda")]


def test_a_pair_is_given_half_by_half(bundle: Path, asked: list[Any]) -> None:
    manifest = open_bundle(bundle).manifest
    halves = {role: {"id": role, "revision": None} for role in ("encoder", "decoder")}
    provenance = {"source": {"kind": "pair", **halves}, "seed": 3}
    write_manifest(dataclasses.replace(manifest, provenance=provenance), bundle)
    invoke(bundle, "--against", "a", "--against", "b", "--precision", "fp32")
    assert asked == [PairSource("a", "b", seed=3), ("fp32", "cpu")]
    result = invoke(bundle)
    assert result.exit_code == 1
    assert "give it with --against ENCODER --against DECODER" in result.stderr


@pytest.mark.parametrize(
    "args", [["--precision", "fp16,fp32"], ["--precision", "fp16", "--precision", "fp32"]]
)
def test_precisions_by_commas_and_repeated(bundle: Path, asked: list[Any], args: list[str]) -> None:
    invoke(bundle, *args)
    assert [precision for precision, _ in asked[1:]] == ["fp16", "fp32"]


def test_a_report_that_did_not_pass_exits_with_1(bundle: Path, asked: list[Any]) -> None:
    # Without a single decoding nothing is proved.
    result = invoke(bundle, "--json")
    assert result.exit_code == 1
    assert [record["passed"] for record in json.loads(result.stdout)] == [False, False]


def test_wrong_usage_exits_with_2() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Missing argument 'BUNDLE'" in result.stderr


def test_a_bug_keeps_its_traceback(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: CheckRequest) -> NoReturn:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli_check, "run", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        invoke(bundle)


def test_a_missing_extra_gives_the_one_line_to_install(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = invoke(bundle)
    assert result.exit_code == 1
    assert result.stderr == (
        "check-s2t: torch, transformers, onnx, onnx_ir, onnxscript, huggingface_hub, safetensors not installed; "
        'run: pip install "export-s2t[export]"\n'
    )
