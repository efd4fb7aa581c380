"""A trained tokenizer of every kind of the support matrix, and the joining rule that the export states for it."""

from __future__ import annotations

from collections.abc import Callable

from support.tiny.tokenizers import LLAMA
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep

TEXT = [
    "the quick brown fox doesn't jump over the lazy dogs , it 's asleep .",
    "vierhundertsiebenundzwanzig ! four hundred and twenty seven ?",
    "pedwar cant a saith ar hugain",
    "四百二十七 خمسمائة و خمسون",
] * 4
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "de_DE"]
SETTINGS = {"show_progress": False, "special_tokens": SPECIAL_TOKENS}
METASPACE = {"replacement": "▁", "prepend_scheme": "always"}


def wrapped(backend: Tokenizer, *, cleanup: bool = False) -> PreTrainedTokenizerFast:
    names = ("bos_token", "pad_token", "eos_token", "unk_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=cleanup,
        extra_special_tokens=["de_DE"],
        **dict(zip(names, SPECIAL_TOKENS, strict=False)),
    )


def metaspace_bpe() -> Tokenizer:
    backend = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[3]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=150, **SETTINGS))
    return backend


def unigram() -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(vocab_size=120, unk_token=SPECIAL_TOKENS[3], **SETTINGS)
    backend.train_from_iterator(TEXT, trainer)
    return backend


def byte_level() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, **SETTINGS)
    )
    return backend


def wordpiece() -> Tokenizer:
    backend = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[3]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    backend.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=150, **SETTINGS))
    return backend


def words() -> Tokenizer:
    backend = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS[3]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(TEXT, trainers.WordLevelTrainer(**SETTINGS))
    return backend


def suffix_bpe() -> Tokenizer:
    backend = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[3], end_of_word_suffix="</w>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.BPEDecoder("</w>")
    backend.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=180, end_of_word_suffix="</w>", **SETTINGS)
    )
    return backend


def letters() -> Tokenizer:
    backend = words()
    backend.add_tokens(["|", *"abcdefghij"])
    backend.decoder = decoders.CTC(pad_token="<pad>", word_delimiter_token="|")  # noqa: S106
    return backend


def byte_fallback() -> Tokenizer:
    pieces = [*SPECIAL_TOKENS[:4], *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "fox", "é", "▁▁"]
    backend = Tokenizer(
        models.BPE({piece: place for place, piece in enumerate(pieces)}, [], byte_fallback=True)
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()]),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
            decoders.Fuse(),
        ]
    )
    return backend


KINDS: dict[str, tuple[Callable[[], Tokenizer], Detokenizer]] = {
    "metaspace BPE": (metaspace_bpe, Detokenizer("metaspace", **METASPACE)),
    "unigram": (unigram, Detokenizer("metaspace", replacement="▁", prepend_scheme="never")),
    "byte level": (byte_level, Detokenizer("byte_level")),
    "wordpiece": (wordpiece, Detokenizer("wordpiece", prefix="##", cleanup=True)),
    "words": (words, Detokenizer("steps", steps=(JoiningStep("join", content=" "),))),
    "suffix BPE": (suffix_bpe, Detokenizer("steps", steps=(JoiningStep("suffix", pattern="</w>"),))),
    "letters": (
        letters,
        Detokenizer("steps", steps=(JoiningStep("ctc", pattern="<pad>", content="|", cleanup=True),)),
    ),
    "byte fallback": (
        byte_fallback,
        LLAMA,
    ),
}
