"""vocabulary.bin: its exact bytes, what damage is refused, and that its text is the tokenizers library's."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from s2t_runtime.bundles.manifest import Detokenizer
from s2t_runtime.errors import BundleError
from s2t_runtime.text.detokenizer import TEXT_CLEANUP, byte_level_bytes
from s2t_runtime.text.vocabulary import (
    ABSENT,
    ADDED,
    SPECIAL,
    Vocabulary,
    write_vocabulary,
)

CORPUS = [
    "the quick brown fox doesn't jump, does it? no . yes !",
    "we 're here and they 've gone 's 'm n't ' x ' do not",
    "Größe über café, l'été déjà vu",
    "مرحبا بالعالم كيف حالك اليوم",
    "日本語 の 文章 を 音声 から 作ります 。",
    "emoji 😀👩‍👩‍👧 and spaces   in a row",
]
UNKNOWN = "<unk>"
SPECIALS = ["<s>", "</s>", "<pad>", UNKNOWN, "[de_DE]"]
ADDED_TOKENS = ["<word>", "two words", "▁▁meta▁", "##joined", "été", "日本", "Ġspace", "do not", " 's"]


def vocabulary_of(tokenizer: Tokenizer, *, byte_level: bool, holes: int = 0) -> Vocabulary:
    """Write the tokenizer's vocabulary and read it back, with ids that no token has at its end."""
    added = tokenizer.get_added_tokens_decoder()
    tokens: list[bytes] = []
    flags: list[int] = []
    for token_id in range(1 + max(tokenizer.get_vocab().values()) + holes):
        token = tokenizer.id_to_token(token_id)
        text = token or ""
        tokens.append(byte_level_bytes(text) if byte_level else text.encode())
        entry: AddedToken | None = added.get(token_id)
        special = SPECIAL if entry is not None and entry.special else 0
        flags.append((ABSENT if token is None else 0) + special + (ADDED if entry is not None else 0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.bin"
        write_vocabulary(path, tokens, flags)
        return Vocabulary.read(path)


def with_added(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.add_tokens([*ADDED_TOKENS, AddedToken("kept", normalized=False, single_word=True)])
    return tokenizer


def metaspace(kind: str, scheme: str) -> Tokenizer:
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        trainer: trainers.Trainer = trainers.BpeTrainer(
            vocab_size=220, special_tokens=SPECIALS, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=220,
            special_tokens=SPECIALS,
            unk_token=UNKNOWN,
            show_progress=False,
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return with_added(tokenizer)


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=SPECIALS, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return with_added(tokenizer)


def wordpiece(*, cleanup: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=cleanup)
    trainer = trainers.WordPieceTrainer(vocab_size=320, special_tokens=SPECIALS, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens(["##", "do not stop", "##do not", "x ' ", " . ", "n't", "##n't", "'re"])
    return with_added(tokenizer)


CASES: dict[str, tuple[Tokenizer, Detokenizer]] = {
    **{
        f"metaspace-{kind}-{scheme}": (metaspace(kind, scheme), Detokenizer("metaspace", "▁", scheme))
        for kind, scheme in [("bpe", "always"), ("unigram", "first"), ("unigram", "never")]
    },
    "byte-level": (byte_level(), Detokenizer("byte_level")),
    "wordpiece": (wordpiece(cleanup=False), Detokenizer("wordpiece", prefix="##")),
    "wordpiece-cleanup": (wordpiece(cleanup=True), Detokenizer("wordpiece", prefix="##", cleanup=True)),
}
VOCABULARIES = {
    name: vocabulary_of(tokenizer, byte_level=name == "byte-level", holes=3)
    for name, (tokenizer, _) in CASES.items()
}
ID_OF_BYTE = {
    byte_level_bytes(token)[0]: token_id
    for token, token_id in CASES["byte-level"][0].get_vocab().items()
    if token in pre_tokenizers.ByteLevel.alphabet()
}
UNKNOWN_IDS = [100_000, 2**31, 2**32 - 1]


def assert_same_text(name: str, ids: Sequence[int]) -> None:
    tokenizer, detokenizer = CASES[name]
    for skip in (True, False):
        wanted = tokenizer.decode(ids, skip_special_tokens=skip)
        got = VOCABULARIES[name].decode(ids, detokenizer, skip_special_tokens=skip)
        assert got == wanted, (ids, skip)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("text", [*CORPUS, "<s>the fox</s> [de_DE] été<pad>日本 two words ", ""])
def test_encoded_text_decodes_like_the_library(name: str, text: str) -> None:
    tokenizer = CASES[name][0]
    assert_same_text(name, tokenizer.encode(text).ids)
    assert_same_text(name, [0, *tokenizer.encode(text).ids, 1, *tokenizer.encode(text).ids, 2])


@pytest.mark.parametrize("name", CASES)
def test_every_token_decodes_like_the_library_wherever_it_stands(name: str) -> None:
    for token_id in range(len(VOCABULARIES[name])):
        assert_same_text(name, [token_id, 7, token_id])
        assert_same_text(name, [0, token_id])


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_ids_decode_like_the_library(name: str, data: st.DataObject) -> None:
    known = st.integers(0, len(VOCABULARIES[name]) - 1)
    specials_and_holes = st.sampled_from([*range(len(SPECIALS)), len(VOCABULARIES[name]) - 1, *UNKNOWN_IDS])
    ids = data.draw(st.lists(st.one_of(known, known, specials_and_holes), max_size=30))
    assert_same_text(name, ids)


@given(raw=st.binary(max_size=12))
@example(raw="日本".encode()[:-1])
@example(raw=b"\xed\xa0\x80")
@example(raw=b"\xf4\x90\x80\x80a")
@example(raw=b"\xe3\x81\xc3(")
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_not_utf8_decode_like_the_library(raw: bytes) -> None:
    detokenizer = CASES["byte-level"][1]
    ids = [ID_OF_BYTE[byte] for byte in raw]
    assert_same_text("byte-level", ids)
    assert VOCABULARIES["byte-level"].decode(ids, detokenizer) == raw.decode(errors="replace")


def test_the_byte_map_is_the_librarys() -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    assert sorted(byte_level_bytes(character) for character in alphabet) == [bytes([b]) for b in range(256)]
    assert byte_level_bytes("Ġhello") == b" hello"
    assert byte_level_bytes("日本") == "日本".encode()


@given(text=st.text(st.sampled_from(" .?!,'ntmsvreab"), max_size=40))
@settings(deadline=None)
def test_the_clean_up_of_the_text_is_that_of_transformers(text: str) -> None:
    base = pytest.importorskip("transformers.tokenization_utils_base")
    got = text
    for old, new in TEXT_CLEANUP:
        got = got.replace(old, new)
    assert got == base.PreTrainedTokenizerBase.clean_up_tokenization(None, text)


def test_the_clean_up_of_the_text_follows_its_flag(tmp_path: Path) -> None:
    tokens = ["▁we", "▁do", "▁n", "'t", "▁", ".", "▁", "▁'", "s"]
    write_vocabulary(tmp_path / "v", [token.encode() for token in tokens], [0] * len(tokens))
    vocabulary = Vocabulary.read(tmp_path / "v")
    rule = Detokenizer("metaspace", "▁", "always")
    cleaned = replace(rule, clean_up_tokenization_spaces=True)
    assert vocabulary.decode(range(9), rule) == "we do n't .  's"
    assert vocabulary.decode(range(9), cleaned) == "we don't. 's"


def test_the_file_is_pinned(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "v", [b"<s>", "▁a".encode(), b"", b"\xff"], [SPECIAL + ADDED, 0, ABSENT, 0])
    assert (tmp_path / "v").read_bytes() == (
        b"S2TV\x01\x00\x00\x00\x04\x00\x00\x00"
        + struct.pack("<5Q", 0, 3, 7, 7, 8)
        + b"\x03\x00\x04\x00"
        + b"<s>\xe2\x96\x81a\xff"
    )
    vocabulary = Vocabulary.read(tmp_path / "v")
    assert len(vocabulary) == 4
    assert [vocabulary.token(index) for index in range(4)] == [b"<s>", "▁a".encode(), b"", b"\xff"]
    assert vocabulary.flags.tolist() == [3, 0, 4, 0]


def test_an_empty_vocabulary_has_no_text(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "v", [], [])
    assert Vocabulary.read(tmp_path / "v").decode([0, 1, -1], Detokenizer("byte_level")) == ""


def test_an_absent_id_is_not_the_first_token(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "v", [b"", b"", b"b"], [ABSENT, 0, 0])
    vocabulary, rule = Vocabulary.read(tmp_path / "v"), Detokenizer("wordpiece", prefix="##")
    assert vocabulary.decode([0, 2], rule) == "b"
    assert vocabulary.decode([1, 2], rule) == " b"
    assert vocabulary.decode([-1, 2], rule) == "b"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:0], "begins with b'', wanted b'S2TV'"),
        (lambda data: b"GGUF" + data[4:], "begins with b'GGUF', wanted b'S2TV'"),
        (lambda data: data[:9], "has 9 bytes, wanted at least 12"),
        (
            lambda data: data[:4] + struct.pack("<I", 2) + data[8:],
            "has version 2; this s2t_runtime reads 1: install a newer export-s2t",
        ),
        (lambda data: data[:30], "has 30 bytes, wanted at least 38"),
        (lambda data: data[:-1], r"has offsets 0 .. 3, wanted rising ones, 0 .. 2"),
        (lambda data: data + b"x", r"has offsets 0 .. 3, wanted rising ones, 0 .. 4"),
        (lambda data: data[:12] + struct.pack("<3Q", 0, 9, 3) + data[36:], "wanted rising ones"),
        (lambda data: data[:12] + struct.pack("<3Q", 1, 1, 3) + data[36:], "has offsets 1 .. 3"),
        (lambda data: data[:8] + b"\xff\xff\xff\xff" + data[12:], "wanted at least 38654705675"),
    ],
)
def test_damage_is_refused(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "v"
    write_vocabulary(path, [b"a", b"bc"], [0, 0])
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BundleError) as caught:
        Vocabulary.read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read \\(No such file or directory\\): copy the bundle"):
        Vocabulary.read(tmp_path / "v")


def test_a_writer_hears_of_its_mistakes(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="2 tokens and 1 flags"):
        write_vocabulary(tmp_path / "v", [b"a", b"b"], [0])
    with pytest.raises(BundleError, match=r"flags \[8\], wanted sums"):
        write_vocabulary(tmp_path / "v", [b"a"], [8])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Detokenizer("metaspace"), "metaspace needs replacement and prepend_scheme"),
        (Detokenizer("wordpiece"), "wordpiece needs prefix"),
        (Detokenizer("braille"), "'braille', wanted metaspace, byte_level, wordpiece or steps"),
    ],
)
def test_an_unusable_detokenizer_is_refused(rule: Detokenizer, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        VOCABULARIES["byte-level"].decode([0], rule)
