"""Tokenizers of each kind become two files, and vocabulary.bin writes what the tokenizer writes."""

from __future__ import annotations

import json
import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.tiny.tokenizer_kinds import KINDS, METASPACE, TEXT, metaspace_bpe, unigram, words, wrapped
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, MBart50Tokenizer, PreTrainedTokenizerFast

from exporter.errors import UnsupportedModelError
from exporter.tokenizers.files import TOKENIZER, VOCABULARY, write_tokenizer
from s2t_runtime.bundles.manifest import Detokenizer
from s2t_runtime.text.vocabulary import ABSENT, ADDED, SPECIAL, Vocabulary


def assert_decodes_alike(tokenizer: PreTrainedTokenizerFast, directory: Path, rule: Detokenizer) -> None:
    vocabulary, generator = Vocabulary.read(directory / VOCABULARY), random.Random(7)  # noqa: S311
    backend = Tokenizer.from_file(str(directory / TOKENIZER))
    for _ in range(200):
        ids = [generator.randrange(len(vocabulary)) for _ in range(generator.randint(0, 20))]
        for skip in (True, False):
            ours = vocabulary.decode(ids, rule, skip_special_tokens=skip)
            assert ours == tokenizer.decode(ids, skip_special_tokens=skip), ids
            assert ours == backend.decode(ids, skip_special_tokens=skip), ids
    for text in TEXT:
        ids = tokenizer(text).input_ids
        assert vocabulary.decode(ids, rule) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_decodes_as_its_tokenizer(tmp_path: Path, kind: str) -> None:
    make, expected = KINDS[kind]
    tokenizer = wrapped(make())
    rule = write_tokenizer(tokenizer, tmp_path)
    assert rule == expected
    assert_decodes_alike(tokenizer, tmp_path, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_each_tokenizer_file_is_the_tokenizers_own(tmp_path: Path, kind: str) -> None:
    backend = KINDS[kind][0]()
    tokenizer = wrapped(backend)
    write_tokenizer(tokenizer, tmp_path)
    reloaded = Tokenizer.from_file(str(tmp_path / TOKENIZER))
    assert reloaded.to_str() == tokenizer.backend_tokenizer.to_str()
    assert [reloaded.encode(text).ids for text in TEXT] == [tokenizer(text).input_ids for text in TEXT]


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "words"])
def test_the_clean_up_is_obeyed(tmp_path: Path, kind: str) -> None:
    tokenizer = wrapped(KINDS[kind][0](), cleanup=True)
    rule = write_tokenizer(tokenizer, tmp_path)
    assert rule is not None
    assert rule.clean_up_tokenization_spaces
    assert_decodes_alike(tokenizer, tmp_path, rule)


@pytest.mark.parametrize("kind", ["metaspace BPE", "byte level"])
def test_the_clean_up_is_ignored_for_bpe_as_transformers_5_does(tmp_path: Path, kind: str) -> None:
    tokenizer = wrapped(KINDS[kind][0](), cleanup=True)
    rule = write_tokenizer(tokenizer, tmp_path)
    assert rule is not None
    assert not rule.clean_up_tokenization_spaces
    ids = tokenizer("it 's asleep .").input_ids
    assert Vocabulary.read(tmp_path / VOCABULARY).decode(ids, rule) == "it 's asleep ."
    assert_decodes_alike(tokenizer, tmp_path, rule)


@pytest.mark.parametrize("kind", ["metaspace BPE", "suffix BPE"])
def test_the_clean_up_of_bpe_can_be_forced(tmp_path: Path, kind: str) -> None:
    tokenizer = wrapped(KINDS[kind][0](), cleanup=True)
    tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
    rule = write_tokenizer(tokenizer, tmp_path)
    assert rule is not None
    assert rule.clean_up_tokenization_spaces
    assert_decodes_alike(tokenizer, tmp_path, rule)


@pytest.mark.parametrize("cleanup", [False, True])
@pytest.mark.parametrize(
    "decoder",
    [
        decoders.Replace(Regex("e+"), "E"),
        decoders.Sequence(
            [decoders.Metaspace(), decoders.Strip("e", 0, 0), decoders.Replace(Regex("a"), "")]
        ),
    ],
    ids=["Regex", "Sequence"],
)
def test_an_unknown_joining_rule_is_left_to_the_tokenizer(
    tmp_path: Path, decoder: decoders.Decoder, *, cleanup: bool
) -> None:
    backend = unigram()
    backend.decoder = decoder
    tokenizer = wrapped(backend, cleanup=cleanup)
    assert write_tokenizer(tokenizer, tmp_path) is None
    # tokenizer.json alone gives the text then, clean-up included.
    reloaded = Tokenizer.from_file(str(tmp_path / TOKENIZER))
    for text in TEXT:
        ids = tokenizer(text).input_ids
        assert reloaded.decode(ids) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("wrong", [0, 60, 149])
def test_a_rule_that_fails_for_one_token_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    # As would be found where the tokenizers library changes how a decoder of a known name joins.
    real = Vocabulary.token
    monkeypatch.setattr(
        Vocabulary, "token", lambda self, index: b"x" if index == wrong else real(self, index)
    )
    assert write_tokenizer(wrapped(metaspace_bpe()), tmp_path) is None


def test_a_tokenizer_that_decodes_in_python_is_refused(tmp_path: Path) -> None:
    class Shouting(PreTrainedTokenizerFast):
        def _decode(self, *arguments: Any, **options: Any) -> str:
            return super()._decode(*arguments, **options).replace("fo", "FO")

    with pytest.raises(UnsupportedModelError) as caught:
        write_tokenizer(Shouting(tokenizer_object=words(), unk_token="<unk>"), tmp_path)  # noqa: S106
    message = str(caught.value)
    assert message.startswith("the tokenizer Shouting cannot be exported:\n  - it writes '")
    assert "FO" in message
    assert (
        "the class changes the text in Python code, which no bundle holds; use a tokenizer whose" in message
    )


@pytest.mark.broad
def test_the_size_of_mbart_50_takes_seconds(tmp_path: Path) -> None:
    pieces = [(f"▁{place:x}" if place % 3 else f"{place:x}", -place / 1e6) for place in range(249_998)]
    tokenizer = MBart50Tokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *pieces[1:]])
    assert len(tokenizer) == 250_054
    started_s = time.process_time()
    assert write_tokenizer(tokenizer, tmp_path) == Detokenizer("metaspace", **METASPACE)
    assert time.process_time() - started_s < 60
    assert len(Vocabulary.read(tmp_path / VOCABULARY)) == 250_054


def test_flags_and_gaps(tmp_path: Path) -> None:
    tokens = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "▁a": 4, "b": 20}
    backend = Tokenizer(models.BPE(tokens, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_tokens([AddedToken("name", special=False)])
    tokenizer = wrapped(backend)
    rule = write_tokenizer(tokenizer, tmp_path)
    vocabulary = Vocabulary.read(tmp_path / VOCABULARY)
    ids = tokenizer.get_vocab()
    assert len(vocabulary) == 21
    assert [vocabulary.flags[index] for index in (4, 5, 19, 20)] == [0, ABSENT, ABSENT, 0]
    assert vocabulary.flags[ids["<s>"]] == vocabulary.flags[ids["de_DE"]] == SPECIAL | ADDED
    assert vocabulary.flags[ids["name"]] == ADDED
    assert rule is not None
    assert vocabulary.decode([0, 4, 5, 20, ids["name"]], rule) == "abname"


def test_the_example(tmp_path: Path, digits_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(digits_checkpoint)
    rule = write_tokenizer(tokenizer, tmp_path)
    assert rule == Detokenizer("metaspace", **METASPACE)
    assert_decodes_alike(tokenizer, tmp_path, rule)
    assert json.loads((tmp_path / TOKENIZER).read_text(encoding="utf-8"))["model"]["type"] == "BPE"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The closest to a full disk that needs no privileges; Python ignores the signal, so writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_oserror(tmp_path: Path) -> None:
    # The tokenizers library's own save() would raise a bare Exception, which no command turns into a message.
    tokenizer = wrapped(metaspace_bpe())
    with pytest.raises(OSError, match="File too large"), file_size_limit(1000):
        write_tokenizer(tokenizer, tmp_path)
