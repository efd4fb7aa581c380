"""Checkpoints whose tokenizer is a sentencepiece file and nothing else: both files of a bundle give its text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny.sentencepiece_models import (
    FAST,
    MBART_50,
    PYTHON,
    TEXT,
    Layout,
    llama,
    model,
    processor,
    t5,
    unigram,
)
from support.tiny.tokenizers import LLAMA
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from exporter.checkpoints.companions.loading import load_tokenizer
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.tokenizers.files import TOKENIZER, VOCABULARY, write_tokenizer
from s2t_runtime.bundles.manifest import Detokenizer
from s2t_runtime.text.vocabulary import Vocabulary

METASPACE = Detokenizer("metaspace", replacement="▁", prepend_scheme="always")
RULES = dict.fromkeys(FAST, METASPACE) | {
    "llama": LLAMA,
    "llama without legacy": LLAMA,
    "no class": Detokenizer("steps", steps=LLAMA.steps[:2]),
}


def files_of(directory: Path) -> CheckpointFiles:
    return CheckpointFiles("the checkpoint", directory, "some/model", None, None)


def sequences(size: int, odd: list[int]) -> list[list[int]]:
    generator = random.Random(11)  # noqa: S311
    alone = [[index] for index in range(size)]
    whole = [list(range(size)), list(range(size - 1, -1, -1))]
    mixed = [
        [generator.choice(odd) if generator.random() < 0.4 else generator.randrange(size) for _ in range(9)]
        for _ in range(200)
    ]
    return [[], *alone, *whole, *mixed]


def assert_same_text(original: Any, directory: Path, rule: Detokenizer, *, skips: tuple[bool, ...]) -> None:
    vocabulary, backend = (
        Vocabulary.read(directory / VOCABULARY),
        Tokenizer.from_file(str(directory / TOKENIZER)),
    )
    odd = [
        *original.all_special_ids,
        *(i for word, i in original.get_vocab().items() if word.startswith("<0x")),
    ]
    for ids in sequences(len(vocabulary), odd):
        for skip in skips:
            wanted = original.decode(ids, skip_special_tokens=skip)
            assert vocabulary.decode(ids, rule, skip_special_tokens=skip) == wanted, (ids, skip)
            assert backend.decode(ids, skip_special_tokens=skip) == wanted, (ids, skip)


@pytest.mark.parametrize("name", FAST)
def test_a_sentencepiece_file_becomes_both_files(tmp_path: Path, name: str) -> None:
    checkpoint = FAST[name].write(tmp_path / "checkpoint")
    rule = write_tokenizer(load_tokenizer(files_of(checkpoint)), tmp_path)
    assert rule == RULES[name]
    assert_same_text(AutoTokenizer.from_pretrained(checkpoint), tmp_path, rule, skips=(True, False))


@pytest.mark.parametrize("name", PYTHON)
def test_a_tokenizer_in_python_becomes_both_files(tmp_path: Path, name: str) -> None:
    checkpoint = PYTHON[name].write(tmp_path / "checkpoint")
    rule = write_tokenizer(load_tokenizer(files_of(checkpoint)), tmp_path)
    assert rule is not None
    assert rule.kind == "steps"
    # Special tokens are left out, as a host does; each class writes its own spaces around them.
    assert_same_text(AutoTokenizer.from_pretrained(checkpoint), tmp_path, rule, skips=(True,))


# A sentencepiece id -> the tokenizer's, as the model was trained with it.
OFFSETS: dict[str, tuple[Callable[[], bytes], Callable[[int], int]]] = {
    "mbart-50": (unigram, lambda index: index + 1),
    "mbart": (unigram, lambda index: index + 1),
    "xlm-roberta": (unigram, lambda index: index + 1),
    "pegasus": (t5, lambda index: index + 103),
    "t5": (t5, lambda index: index),
    "big-bird": (unigram, lambda index: index),
    "llama": (llama, lambda index: index),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_the_text_is_that_of_sentencepiece_itself(tmp_path: Path, name: str) -> None:
    serialised, offset = OFFSETS[name]
    pieces = processor(serialised())
    rule = write_tokenizer(load_tokenizer(files_of(FAST[name].write(tmp_path / "checkpoint"))), tmp_path)
    assert rule is not None
    vocabulary = Vocabulary.read(tmp_path / VOCABULARY)
    # Characters that it has never seen are bytes to a model with byte fallback.
    texts = (*TEXT, "fox ħ😀 dogs") if name == "llama" else TEXT
    for text in texts:
        ids = pieces.encode(text)
        assert vocabulary.decode([offset(index) for index in ids], rule) == pieces.decode(ids)


def test_mbart_50s_languages_follow_the_pieces(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(files_of(MBART_50.write(tmp_path)))
    last = processor(unigram()).GetPieceSize()
    assert tokenizer.convert_ids_to_tokens([last, last + 1, last + 2, last + 53]) == [
        processor(unigram()).IdToPiece(last - 1),
        "ar_AR",
        "cs_CZ",
        "<mask>",
    ]


def test_the_name_of_a_removed_processor_does_no_harm(tmp_path: Path) -> None:
    # AutoProcessor of transformers 5 knows no Speech2Text2Processor and returns the tokenizer alone.
    tokenizer = load_tokenizer(files_of(MBART_50.write(tmp_path)))
    assert type(tokenizer).__name__ == "MBart50Tokenizer"
    assert tokenizer.convert_tokens_to_ids("de_DE") == tokenizer.convert_tokens_to_ids("ar_AR") + 2


def message(layout: Layout, directory: Path) -> str:
    with pytest.raises(ValueError, match=r"^the checkpoint") as caught:
        load_tokenizer(files_of(layout.write(directory)))
    return str(caught.value)


def test_a_removed_class_is_named(tmp_path: Path) -> None:
    layout = Layout("RetriBertTokenizer", {"vocab.json": lambda: b"{}", "merges.txt": lambda: b""})
    text = message(layout, tmp_path)
    assert "tokenizer_config.json names RetriBertTokenizer, which transformers 5." in text
    assert text.endswith(
        "does not have, and there is no tokenizer.json; have one made by the version that has the class, and "
        "save it there"
    )


def test_a_missing_class_is_asked_for(tmp_path: Path) -> None:
    assert message(Layout(None, {"sentencepiece.bpe.model": unigram}), tmp_path) == (
        "the checkpoint: the tokenizer cannot be read: there is sentencepiece.bpe.model, but tokenizer_config.json "
        "names no tokenizer_class and there is no tokenizer.json; name the class, such as MBart50Tokenizer, or "
        "save the tokenizer again with tokenizer.save_pretrained()"
    )


@pytest.mark.parametrize(
    ("kind", "name", "reads", "tokens"),
    [
        ("MBart50Tokenizer", "spiece.model", "sentencepiece.bpe.model or tokenizer.json", 58),
        ("XGLMTokenizer", "sentencepiece.bpe.model", "tokenizer.json", 11),
    ],
)
def test_a_vocabulary_that_was_not_read(
    tmp_path: Path, kind: str, name: str, reads: str, tokens: int
) -> None:
    # transformers 5 makes a tokenizer of the special tokens alone, without a word.
    assert message(Layout(kind, {name: unigram}), tmp_path) == (
        f"the checkpoint: {kind} reads {reads}, but there is {name}, and it would have {tokens} tokens only: rename "
        "the file, or save a tokenizer.json there with tokenizer.save_pretrained()"
    )


def test_pieces_that_are_lost(tmp_path: Path) -> None:
    # mBART's ids suppose that the first three pieces are special; in this file they are not.
    def bare() -> bytes:
        return model("unigram", bos_id=-1, eos_id=-1)

    text = message(Layout("MBart50Tokenizer", {"sentencepiece.bpe.model": bare}), tmp_path)
    lost = [processor(bare()).IdToPiece(index) for index in (1, 2)]
    assert text == (
        f"the checkpoint: MBart50Tokenizer has lost 2 pieces of sentencepiece.bpe.model: {lost[0]!r}, {lost[1]!r}; "
        "its tokenizer_class does not fit the file: correct it in tokenizer_config.json, or save a tokenizer.json "
        "there"
    )


def test_a_way_of_joining_that_is_unknown(tmp_path: Path) -> None:
    layout = Layout("ByT5Tokenizer", {"vocab.json": lambda: json.dumps({}).encode()})
    text = message(layout, tmp_path)
    assert "the checkpoint cannot be exported:\n  - ByT5Tokenizer has no tokenizer.json form" in text
    assert text.endswith("save a tokenizer.json that writes the same text beside it")
