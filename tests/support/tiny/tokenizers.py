"""Tokenizers of sixty tokens, of the kinds that the decoders' families have."""

from __future__ import annotations

from support.tiny.decoders import UNK
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = {
    "bert": ("[CLS]", "[PAD]", "[SEP]", "[UNK]"),
    "other": ("<s>", "<pad>", "</s>", "<unk>"),
}


LLAMA = Detokenizer(
    "steps",
    steps=(
        JoiningStep("replace", pattern="▁", content=" "),
        JoiningStep("byte_fallback"),
        JoiningStep("join", content=""),
        JoiningStep("strip", content=" ", count=1),
    ),
)
"""How Llama's tokenizers join: bytes behind words that begin with a space."""


def tokenizer(decoder: str) -> PreTrainedTokenizerFast:
    """Sixty tokens, of the kind that the decoder's family has: WordPiece, byte-level or Metaspace BPE."""
    special = _SPECIAL.get(decoder, _SPECIAL["other"])
    if decoder == "bert":
        words = [*special, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), "the", "and", "of", "##ing"]
        built = Tokenizer(
            models.WordPiece({word: place for place, word in enumerate(words)}, unk_token=special[UNK])
        )
        built.pre_tokenizer = pre_tokenizers.Whitespace()
        built.decoder = decoders.WordPiece()
    else:
        built = _bpe(special, byte_level=decoder in {"bart", "gpt2"})
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=built, **names)


def _bpe(special: tuple[str, ...], *, byte_level: bool) -> Tokenizer:
    space = "Ġ" if byte_level else "▁"
    merges = [*((space, letter) for letter in _LETTERS), ("t", "h"), ("e", "r"), ("i", "n")]
    words = [*special, space, *_LETTERS, *(first + second for first, second in merges)]
    built = Tokenizer(
        models.BPE({word: place for place, word in enumerate(words)}, merges, unk_token=special[UNK])
    )
    if byte_level:
        built.pre_tokenizer, built.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    else:
        built.pre_tokenizer, built.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return built
