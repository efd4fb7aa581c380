"""Speech2Text2 decoders: tokens, scores and text of the class that transformers 5 dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from support.older import speech2text2 as old
from support.places import ROOT
from support.tiny.damaged_checkpoint import change_json, load, reasons

import s2t_runtime
from exporter import ExportOptions, export_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.checkpoints.speech2text2 import NOTE, fairseq_positions
from exporter.checkpoints.weights.files import find_weight_files
from exporter.checkpoints.weights.stored import open_tensors

RECORDING = ROOT / "examples" / "digits" / "recordings" / "one_digit_7.wav"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    old.save(tmp_path / "old")
    return tmp_path / "old"


def stored(path: Path) -> Any:
    files = locate_checkpoint(str(path))
    return open_tensors(files, find_weight_files(files)).tensors


@pytest.mark.parametrize(("rows", "width", "padding"), [(26, 16, 1), (9, 6, 0), (40, 32, 7)])
def test_the_table_of_positions(rows: int, width: int, padding: int) -> None:
    torch.testing.assert_close(fairseq_positions(rows, width, padding), old.table(rows, width, padding))


@pytest.mark.parametrize("with_table", [True, False])
def test_logits_are_those_of_the_class(tmp_path: Path, with_table: bool) -> None:
    old.save(tmp_path, with_table=with_table)
    decoder = load(tmp_path).model.decoder
    states = torch.randn(7, old.D_MODEL, generator=torch.Generator().manual_seed(1))
    tokens = [old.START, *range(5, 5 + old.POSITIONS - 1)]
    with torch.no_grad():
        ours = decoder(torch.tensor([tokens]), encoder_hidden_states=states[None]).logits[0]
    wanted = old.logits(stored(tmp_path), tokens, states)
    torch.testing.assert_close(ours, wanted, rtol=0, atol=2e-5)
    # It would show: Marian's own positions give other logits.
    assert (old.logits(stored(tmp_path), tokens[1:], states)[0] - wanted[1]).abs().max() > 0.01


def test_what_was_converted_is_said(checkpoint: Path) -> None:
    origin = load(checkpoint).origin
    assert origin.notes() == [NOTE]
    assert origin.provenance()["weights"] == {"checkpoint": {"converted": [NOTE]}}


def test_the_text_is_that_of_the_class(checkpoint: Path) -> None:
    tokenizer = load(checkpoint).tokenizer
    # Spaces between tokens, "@@ " deleted, a last "@@" kept; special tokens left out as asked.
    assert tokenizer.decode([2, 5, 6, 6, 7, 2], skip_special_tokens=True) == "w5 p6p6w7"
    assert tokenizer.decode([5, 6], skip_special_tokens=True) == "w5 p6@@"
    assert tokenizer.decode([6, 2, 7], skip_special_tokens=True) == "p6w7"
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)


def test_the_class_is_known_by_the_decoder_as_well(checkpoint: Path) -> None:
    change_json(checkpoint / "tokenizer_config.json", lambda c: c.pop("tokenizer_class"))
    assert load(checkpoint).tokenizer.decode([5, 6, 7]) == "w5 p6w7"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"a": "b"}'])
def test_a_vocabulary_that_is_none(checkpoint: Path, text: str) -> None:
    (checkpoint / "vocab.json").write_text(text, encoding="utf-8")
    expected = "which cannot be read: " if text == "{" else "holds no vocabulary, wanted an object such as"
    with pytest.raises(ValueError, match=r"vocab\.json") as caught:
        load(checkpoint)
    assert expected in str(caught.value)


def test_a_start_token_that_is_the_padding(checkpoint: Path) -> None:
    change_json(checkpoint / "config.json", lambda c: c.update(decoder_start_token_id=old.PAD))
    assert reasons(checkpoint) == (
        "decoder_start_token_id 1 is pad_token_id too: a Speech2Text2 decoder gives padding no position, and which one "
        "its first token has would depend on the options of each call; name another start token",
    )


def test_a_bundle_of_one_decodes_as_the_class_does(checkpoint: Path, tmp_path: Path) -> None:
    change_json(checkpoint / "config.json", lambda c: c.update(max_length=12))
    result = export_checkpoint(str(checkpoint), ExportOptions(tmp_path / "bundle", max_new_tokens=9))
    assert NOTE in result.notes
    loaded, weights = load(checkpoint), stored(checkpoint)
    samples, _ = soundfile.read(RECORDING, dtype="float32")
    features = loaded.extractor(samples, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        states = loaded.model.encoder(**features).last_hidden_state[0]
    tokens = [old.START]
    while len(tokens) < 10 and (len(tokens) == 1 or tokens[-1] != old.EOS):
        tokens.append(int(old.logits(weights, tokens, states)[-1].argmax()))
    with s2t_runtime.load(tmp_path / "bundle") as model:
        (hypothesis,) = model.generate(str(RECORDING), num_beams=1).hypotheses
    assert list(hypothesis.tokens) == tokens


@pytest.mark.broad
def test_the_answers_of_transformers_4(old_checkpoints: Path, tmp_path: Path) -> None:
    source = old_checkpoints / "speech2text2-tiny"
    export_checkpoint(str(source), ExportOptions(tmp_path / "bundle"))
    with s2t_runtime.load(tmp_path / "bundle") as model:
        for answer in json.loads((source / "golden.json").read_text(encoding="utf-8")):
            result = model.generate(str(source / answer["audio"]), num_beams=answer["beams"], max_length=30)
            (hypothesis,) = result.hypotheses
            assert list(hypothesis.tokens) == answer["tokens"]
            assert result.text == answer["text"]
            if answer["score"] is not None:
                assert hypothesis.score == pytest.approx(answer["score"], abs=1e-4)
