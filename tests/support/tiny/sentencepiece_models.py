"""Sentencepiece models of a hundred pieces, and checkpoints' tokenizers made of nothing else."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece

TEXT = (
    "the quick brown fox doesn't jump over the lazy dogs , it 's asleep .",
    "vierhundertsiebenundzwanzig ! four hundred and twenty seven ?",
    "pedwar cant a saith ar hugain",
    "四百二十七 خمسمائة و خمسون",
    "Größe über café",
)
_SIZES = {("unigram", False): 120, ("unigram", True): 360, ("bpe", False): 400, ("bpe", True): 440}


@functools.cache
def model(kind: str, *, byte_fallback: bool = False, **options: Any) -> bytes:
    """A model trained on TEXT; the same at every call."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 4),
        model_writer=out,
        model_type=kind,
        vocab_size=_SIZES[kind, byte_fallback],
        byte_fallback=byte_fallback,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return out.getvalue()


def processor(serialised: bytes) -> sentencepiece.SentencePieceProcessor:
    """sentencepiece itself."""
    pieces = sentencepiece.SentencePieceProcessor()
    pieces.LoadFromSerializedProto(serialised)
    return pieces


def unigram() -> bytes:
    return model("unigram", normalization_rule_name="nmt_nfkc")


def llama() -> bytes:
    return model("bpe", byte_fallback=True, user_defined_symbols="<sym>,de_DE")


def t5() -> bytes:
    return model("unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)


def fairseq_vocabulary() -> bytes:
    """vocab.json with ids as fairseq numbers them: four special tokens, then the pieces, one further on."""
    pieces = processor(unigram())
    words = ["<s>", "<pad>", "</s>", "<unk>", *map(pieces.IdToPiece, range(3, pieces.GetPieceSize()))]
    return json.dumps({word: index for index, word in enumerate(words)}).encode()


def marian_vocabulary() -> bytes:
    """vocab.json of a Marian model: another order than the pieces have, and words that are no pieces."""
    pieces = processor(unigram())
    words = [
        "</s>",
        "<unk>",
        *map(pieces.IdToPiece, range(pieces.GetPieceSize() - 1, 2, -1)),
        ">>fra<<",
        "<pad>",
    ]
    return json.dumps({word: index for index, word in enumerate(words)}).encode()


@dataclass(frozen=True)
class Layout:
    """The tokenizer files of a checkpoint, none of them a tokenizer.json."""

    tokenizer_class: str | None
    files: Mapping[str, Callable[[], bytes]]
    config: Mapping[str, Any] = field(default_factory=dict)
    special: Mapping[str, Any] | None = None

    def write(self, directory: Path) -> Path:
        """Write them, with a config.json beside them."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (directory / name).write_bytes(content())
        named = {} if self.tokenizer_class is None else {"tokenizer_class": self.tokenizer_class}
        _write(directory / "tokenizer_config.json", {**self.config, **named})
        if self.special is not None:
            _write(directory / "special_tokens_map.json", self.special)
        halves = {"encoder": {"model_type": "wav2vec2"}, "decoder": {"model_type": "mbart"}}
        _write(directory / "config.json", {"model_type": "speech-encoder-decoder", **halves})
        return directory


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


MBART_50 = Layout(
    "MBart50Tokenizer",
    {"sentencepiece.bpe.model": unigram},
    {"src_lang": "en_XX", "tgt_lang": "de_DE", "processor_class": "Speech2Text2Processor"},
    {
        "bos_token": "<s>",
        "mask_token": {
            "content": "<mask>",
            "lstrip": True,
            "rstrip": False,
            "single_word": False,
            "normalized": True,
        },
    },
)
FAST = {
    "mbart-50": MBART_50,
    "mbart-50 with bytes": Layout(
        "MBart50Tokenizer", {"sentencepiece.bpe.model": lambda: model("unigram", byte_fallback=True)}
    ),
    "mbart": Layout("MBartTokenizer", {"sentencepiece.bpe.model": unigram}),
    "xlm-roberta": Layout("XLMRobertaTokenizer", {"sentencepiece.bpe.model": unigram}),
    "camembert": Layout("CamembertTokenizer", {"sentencepiece.bpe.model": unigram}),
    "nllb": Layout("NllbTokenizer", {"sentencepiece.bpe.model": lambda: model("bpe")}),
    "big-bird": Layout("BigBirdTokenizer", {"spiece.model": unigram}),
    "rembert": Layout("RemBertTokenizer", {"sentencepiece.model": unigram}),
    "pegasus": Layout("PegasusTokenizer", {"spiece.model": t5}),
    "t5": Layout("T5Tokenizer", {"spiece.model": t5}),
    "llama": Layout("LlamaTokenizer", {"tokenizer.model": llama}),
    "llama without legacy": Layout("LlamaTokenizer", {"tokenizer.model": llama}, {"legacy": False}),
    "no class": Layout(None, {"tokenizer.model": llama}),
}
"""Classes that transformers backs with the tokenizers library."""

PYTHON = {
    "marian": Layout(
        "MarianTokenizer",
        {"source.spm": unigram, "target.spm": unigram, "vocab.json": marian_vocabulary},
    ),
    "bert-generation": Layout("BertGenerationTokenizer", {"spiece.model": unigram}),
    "plbart": Layout("PLBartTokenizer", {"sentencepiece.bpe.model": unigram}),
    "m2m-100": Layout(
        "M2M100Tokenizer", {"sentencepiece.bpe.model": unigram, "vocab.json": fairseq_vocabulary}
    ),
    "speech-to-text": Layout(
        "Speech2TextTokenizer", {"sentencepiece.bpe.model": unigram, "vocab.json": fairseq_vocabulary}
    ),
    "blenderbot-small": Layout(
        "BlenderbotSmallTokenizer",
        {
            "vocab.json": lambda: json.dumps(
                {
                    word: index
                    for index, word in enumerate(
                        ["__start__", "__null__", "__end__", "__unk__", "th@@", "e", "the", "x@@", ".", "'s"]
                    )
                }
            ).encode(),
            "merges.txt": lambda: b"#version: 0.2\nt h\nth e</w>\n",
        },
    ),
    "ctc": Layout(
        "Wav2Vec2CTCTokenizer",
        {
            "vocab.json": lambda: json.dumps(
                {
                    word: index
                    for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", "e", "E", "x", "'"])
                }
            ).encode()
        },
    ),
    "cleaned up": Layout(
        "BertGenerationTokenizer", {"spiece.model": unigram}, {"clean_up_tokenization_spaces": True}
    ),
}
"""Classes that transformers implements in Python."""
