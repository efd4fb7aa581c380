"""Which tokens a restricted vocabulary keeps, and what of a user's files is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from exporter.checkpoints.checkpoint import Checkpoint, load_checkpoint
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import ExportError, UnsupportedModelError
from exporter.options import ExportOptions
from exporter.pipeline import kept_ids as module
from exporter.pipeline.kept_ids import kept_ids, read_token_ids, text_ids
from graphs import decoder_geometry
from s2t_runtime.options.generation import GenerationOptions

SIZE = 400  # tokens of the digits model's decoder


@pytest.fixture(scope="module")
def digits(digits_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(locate_checkpoint(str(digits_checkpoint)))


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def kept(checkpoint: Checkpoint, defaults: dict[str, Any] | None = None, **files: Any) -> list[int] | None:
    ids = kept_ids(
        checkpoint,
        ExportOptions(output=Path("bundle"), **files),
        decoder_geometry(checkpoint.model.decoder),
        GenerationOptions(**(defaults or {})),
        {"xx": 77},
    )
    return None if ids is None else ids.tolist()


# Lists.


@pytest.mark.parametrize("text", ["3\n17\n\n 4 \n", "[17, 3, 4]", "\ufeff3\r\n4\r\n17", "4\n4\n17\n3"])
def test_a_list_of_ids(tmp_path: Path, text: str) -> None:
    assert read_token_ids(written(tmp_path / "ids", text), 18) == {3, 4, 17}


_WANTED = "wanted one token id a line, or a JSON list of them"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"holds no token id, {_WANTED}"),
        ("[]", f"holds no token id, {_WANTED}"),
        ("3\nfour\n", f'holds "four", {_WANTED}, from 0 to 17: correct it'),
        ("3\n-4\n", f'holds "-4", {_WANTED}, from 0 to 17'),
        ("3\n1_0\n", f'holds "1_0", {_WANTED}'),
        ("18\n", f"holds 18, {_WANTED}, from 0 to 17"),
        ("[3, true]", f"holds true, {_WANTED}"),
        ("[3, 1.5]", f"holds 1.5, {_WANTED}"),
        ("[3, -1]", f"holds -1, {_WANTED}"),
        ("[3,", "is not JSON (Expecting value: line 1 column 4 (char 3)), " + _WANTED),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "ids", text)
    with pytest.raises(ExportError, match="^" + re.escape(f"{path} {message}")):
        read_token_ids(path, 18)


def test_files_that_cannot_be_read(tmp_path: Path, digits: Checkpoint) -> None:
    absent, latin = tmp_path / "absent", tmp_path / "latin"
    latin.write_bytes(b"f\xfcnf")
    listed = "--vocab-tokens wants a file with one token id a line, or a JSON list of them"
    text = "--vocab-from wants a text file in UTF-8"
    refusals = [
        (lambda: read_token_ids(absent, 9), f"{absent} cannot be read (No such file or directory): {listed}"),
        (
            lambda: text_ids(digits, [absent], SIZE),
            f"{absent} cannot be read (No such file or directory): {text}",
        ),
        (
            lambda: text_ids(digits, [latin], SIZE),
            f"{latin} is not UTF-8 (invalid start byte at byte 1): {text}",
        ),
    ]
    for call, message in refusals:
        with pytest.raises(ExportError, match="^" + re.escape(message) + "$"):
            call()


# Texts.


def test_every_line_of_every_text_counts(
    tmp_path: Path, digits: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINES", 2)
    lines = ["null", "eins", "zwei", "", "drei"]
    first = written(tmp_path / "a", "\n".join(lines))
    second = written(tmp_path / "b", "hundert\n")
    wanted = {token for line in (*lines, "hundert") for token in digits.tokenizer.encode(line)}
    assert text_ids(digits, [first, second], SIZE) == wanted
    assert text_ids(digits, [first], SIZE) < wanted


def test_text_is_tokenised_as_target_text(
    tmp_path: Path, digits: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Multilingual:
        tgt_lang, src_lang = None, "de"

        def __call__(self, **named: Any) -> dict[str, list[list[int]]]:
            seen.append((self.tgt_lang, named))
            return {"input_ids": [[5], [6, 7]]}

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: Multilingual())
    assert text_ids(digits, [written(tmp_path / "a", "one\ntwo")], SIZE) == {5, 6, 7}
    assert seen == [
        ("de", {"text_target": ["one", "two"], "add_special_tokens": False, "verbose": False})
    ]  # without a target language M2M100 raises


def test_an_empty_text_is_refused(tmp_path: Path, digits: Checkpoint) -> None:
    path = written(tmp_path / "a", " \n\n")
    message = f"{path} holds no text: --vocab-from wants what the model is to write, line by line"
    with pytest.raises(ExportError, match="^" + re.escape(message) + "$"):
        text_ids(digits, [path], SIZE)


def test_a_made_up_tokenizer_knows_no_text(tmp_path: Path, digits: Checkpoint) -> None:
    neutral = dataclasses.replace(digits, origin=dataclasses.replace(digits.origin, neutral=("tokenizer",)))
    message = (
        f"{digits.files.source} comes without a tokenizer, so --vocab-from cannot tell which tokens a text needs: "
        "name them with --vocab-tokens"
    )
    with pytest.raises(ExportError, match="^" + re.escape(message) + "$"):
        text_ids(neutral, [written(tmp_path / "a", "eins")], SIZE)


def test_a_tokenizer_that_fails_is_named(
    tmp_path: Path, digits: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise ValueError("no target text")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: fail)
    path = written(tmp_path / "a", "eins")
    message = (
        f"the tokenizer function cannot tokenise {path} (no target text): name the tokens with --vocab-tokens"
    )
    with pytest.raises(ExportError, match="^" + re.escape(message) + "$"):
        text_ids(digits, [path], SIZE)


@pytest.mark.parametrize(
    ("added", "listed"),
    [
        (["Hektar"], "1 token that the decoder cannot write, wanted ids from 0 to 399: 'Hektar' (400)"),
        (
            ["Hektar", "Ar", "Zoll", "Elle"],
            "4 tokens that the decoder cannot write, wanted ids from 0 to 399: 'Hektar' (400), 'Ar' (401), "
            "'Zoll' (402), ...",
        ),
    ],
)
def test_a_text_beyond_the_decoder_is_refused(
    tmp_path: Path, digits: Checkpoint, monkeypatch: pytest.MonkeyPatch, added: list[str], listed: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(digits.files.directory)
    assert tokenizer.add_tokens(added) == len(added)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: tokenizer)
    path = written(tmp_path / "a", "eins\nzwei " + " ".join(added))
    with pytest.raises(ExportError) as caught:
        kept(digits, vocab_from=(path,))
    assert str(caught.value) == f"{path} needs {listed}; take what gives them out of the text"


def test_a_listed_id_beyond_the_decoder_is_refused(tmp_path: Path, digits: Checkpoint) -> None:
    path = written(tmp_path / "ids", "399\n400\n")
    with pytest.raises(ExportError) as caught:
        kept(digits, vocab_tokens=path)
    assert str(caught.value) == f"{path} holds 400, {_WANTED}, from 0 to 399: correct it"


# What is kept beside the user's.


def test_without_the_options_all_is_kept(digits: Checkpoint) -> None:
    assert kept(digits) is None


def test_special_tokens_languages_and_all_ids_of_the_options_are_kept(
    tmp_path: Path, digits: Checkpoint
) -> None:
    special = set(digits.tokenizer.all_special_ids)
    assert {0, 1, 2, 3, 4, 15} <= special
    defaults = {
        "eos_token_id": [2, 80],
        "forced_eos_token_id": 81,
        "pad_token_id": 82,
        "decoder_start_token_id": 83,
        "bos_token_id": 84,
        "forced_bos_token_id": 85,
        "suppress_tokens": [86, 87],
        "begin_suppress_tokens": [88],
        "bad_words_ids": [[89, 90], [91]],
        "sequence_bias": [[[92, 93], 1.0]],
        "exponential_decay_length_penalty": (94, 1.1),
    }
    ids = kept(digits, defaults, vocab_tokens=written(tmp_path / "ids", "300"))
    assert ids == sorted(special | {77, 300} | set(range(80, 94)))
    text = written(tmp_path / "text", "eins")
    both = kept(digits, vocab_tokens=tmp_path / "ids", vocab_from=(text,))
    assert both == sorted(special | {77, 300} | text_ids(digits, [text], SIZE))


def test_a_projection_that_cannot_be_cut_is_refused(
    tmp_path: Path, digits: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "restriction_fault", lambda *_: "it is round")
    message = (
        f"{digits.files.source} cannot be exported:\n  - the output projection of decoder 'mbart' cannot be cut to a "
        "part of the vocabulary: it is round; export without --vocab-from and --vocab-tokens"
    )
    with pytest.raises(UnsupportedModelError, match="^" + re.escape(message) + "$"):
        kept(digits, vocab_tokens=written(tmp_path / "ids", "300"))
