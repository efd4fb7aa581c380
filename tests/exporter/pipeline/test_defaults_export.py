"""Stored defaults from checkpoint to console: refused before any graph, or said, written down and decoded with."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from support.tiny.damaged_checkpoint import change_json

from exporter.commands import export as cli_export
from exporter.reference.probe_audio import probe_utterance
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.commands import run as cli_run


def export(checkpoint: Path, *options: str) -> Result:
    return CliRunner().invoke(
        cli_export.main, [str(checkpoint), "-o", str(checkpoint.parent / "bundle"), *options]
    )


def store(checkpoint: Path, **options: Any) -> None:
    change_json(checkpoint / "generation_config.json", lambda stored: stored.update(options))


@pytest.mark.parametrize(
    ("stored", "options", "message"),
    [
        ({"decoder_start_token_id": None, "bos_token_id": None}, (), " names no start token, which decoding"),
        (
            {"decoder_start_token_id": 40},
            (),
            ": generation_config.json: decoder_start_token_id has token 40, wanted",
        ),
        (
            {"forced_bos_token_id": 250004},
            (),
            ": generation_config.json: forced_bos_token_id has token 250004,",
        ),
        (
            {"forced_eos_token_id": 40},
            (),
            ": generation_config.json: forced_eos_token_id has token 40, wanted",
        ),
        (
            {"bad_words_ids": [[40]]},
            (),
            ": generation_config.json: bad_words_ids has token 40, wanted ids from",
        ),
        (
            {"bad_words_ids": []},
            (),
            ": eager PyTorch cannot decode with the options of generation_config.json: ",
        ),
        (
            {},
            ("--max-new-tokens", "100"),
            "max_new_tokens is 100, but the decoder's 32 positions take 32 new",
        ),
    ],
)
def test_what_cannot_be_decoded_is_one_sentence_before_any_graph(
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    stored: dict[str, Any],
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("traced all the same"))
    store(checkpoint, **stored)
    done = export(checkpoint, *options)
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("export-s2t: error: ")]
    said = line.removeprefix("export-s2t: error: ").removeprefix(str(checkpoint))
    assert said.startswith(message)
    assert not (checkpoint.parent / "bundle").exists()


@pytest.mark.broad
def test_defaults_that_are_changed_are_said_written_down_and_decoded_with(checkpoint: Path) -> None:
    """Eager cannot decode as many tokens; the command that the export prints can."""
    store(checkpoint, max_length=64, eos_token_id=[400, -1], pad_token_id=50257, suppress_tokens=[5, 400])
    done = export(checkpoint)
    assert done.exit_code == 0, done.output
    notes = [line for line in done.stderr.splitlines() if line.startswith("export-s2t: note: ")]
    assert [note.split()[2] for note in notes][:4] == [
        "eos_token_id",
        "pad_token_id",
        "suppress_tokens",
        "max_length",
    ]
    root = checkpoint.parent / "bundle"
    manifest = open_bundle(root).manifest
    wanted = {"max_length": 33, "eos_token_id": [], "suppress_tokens": [5]}
    assert {name: manifest.generation.get(name) for name in (*wanted, "pad_token_id")} == {
        **wanted,
        "pad_token_id": None,
    }
    assert manifest.provenance["changed_defaults"] == {
        "max_length": 64, "eos_token_id": [400, -1], "pad_token_id": 50257, "suppress_tokens": [5, 400]
    }  # fmt: skip
    (record,) = json.loads((root / "parity.json").read_text(encoding="utf-8"))
    (row,) = [row for row in record["decodings"]["rows"] if row["options"] == {}]
    assert (row["tokens"], row["same_tokens"]) == (33, True)
    audio = checkpoint.parent / "speech.wav"
    soundfile.write(audio, probe_utterance(0.5, 16000, 1), 16000)
    (following,) = [line for line in done.stdout.splitlines() if line.startswith("next: run-s2t ")]
    words = shlex.split(following.removeprefix("next: run-s2t ").replace("AUDIO.wav", str(audio)))
    ran = CliRunner(catch_exceptions=False).invoke(cli_run.main, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    assert len(json.loads(ran.stdout)["tokens"]) == 33
