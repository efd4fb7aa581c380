"""Gives tokenizers that transformers implements in Python a form for the tokenizers library.

Their decode() is Python code per class (MarianTokenizer, BlenderbotSmallTokenizer, BertGenerationTokenizer, ...).
No copies of it here: the few ways of joining tokens that they have are tried one after the other, and one
is taken only if it gives the class's own text on every token and on random sequences.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from exporter.tokenizers.detokenizer_proof import first_difference, proof_sequences
from exporter.tokenizers.joining_rules import beginning_of_none, fuse, replace, spaces, trim

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def with_backend(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast | None:
    """The same vocabulary and the same text, but from the tokenizers library; for decoding only.

    Returns:
        None where no known way of joining tokens gives the tokenizer's own text without special tokens.
    """
    # M2M100Tokenizer does not count its language tokens among its vocabulary.
    vocabulary = {**tokenizer.get_vocab(), **getattr(tokenizer, "lang_token_to_id", {})}
    proof = proof_sequences(tokenizer, sorted(set(vocabulary.values())))
    for decoder in _candidates(tokenizer, beginning_of_none(vocabulary)):
        wrapped = _wrapped(tokenizer, _document(tokenizer, vocabulary, decoder))

        def texts(sequences: list[list[int]], *, skip_special_tokens: bool) -> Sequence[str]:
            return wrapped.batch_decode(sequences, skip_special_tokens=skip_special_tokens)  # noqa: B023

        # With special tokens kept in, the classes put spaces around them, each in its own way.
        if first_difference(tokenizer, texts, proof, with_special=False) is None:
            return wrapped
    return None


def _candidates(tokenizer: PreTrainedTokenizerBase, never: str) -> list[dict[str, Any]]:
    words = [spaces(never), fuse()]
    ways: list[list[dict[str, Any]]] = [
        [fuse(), replace("▁", " "), trim()],  # sentencepiece
        [fuse(), replace("</w>", " "), trim()],  # BPE that marks the end of a word
        [*words, replace("@@ ", ""), trim()],  # BPE that marks a word that goes on
        [*words, replace(" ##", ""), trim()],  # WordPiece
        words,
        [fuse()],
    ]
    blank, delimiter = tokenizer.pad_token, getattr(tokenizer, "word_delimiter_token", None)
    if blank and delimiter:
        collapse = {"type": "CTC", "pad_token": blank, "word_delimiter_token": delimiter, "cleanup": False}
        ways.insert(0, [collapse, fuse(), replace(delimiter, " "), trim()])
    return [{"type": "Sequence", "decoders": way} for way in ways]


def _document(
    tokenizer: PreTrainedTokenizerBase, vocabulary: dict[str, int], decoder: dict[str, Any]
) -> dict[str, Any]:
    special = set(tokenizer.all_special_ids)
    # CTC tokenizers call it special, yet write it: it is their space.
    special.discard(vocabulary.get(str(getattr(tokenizer, "word_delimiter_token", None)), -1))
    added = {index: str(token) for index, token in tokenizer.added_tokens_decoder.items()}
    # Of two texts for one id, the one that the tokenizer writes counts.
    texts: dict[int, Any] = {index: tokenizer.convert_ids_to_tokens(index) for index in vocabulary.values()}
    apart = sorted(special.intersection(texts) | added.keys())
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": texts[index],
                **dict.fromkeys(_FLAGS, False),
                "special": index in special,
            }
            for index in apart
        ],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "WordLevel",
            "vocab": {text: index for index, text in sorted(texts.items())},
            "unk_token": str(tokenizer.unk_token or ""),
        },
    }


def _wrapped(tokenizer: PreTrainedTokenizerBase, document: dict[str, Any]) -> PreTrainedTokenizerFast:
    known = document["model"]["vocab"]
    named = {
        name: str(token)
        for name in tokenizer.SPECIAL_TOKENS_ATTRIBUTES
        if (token := getattr(tokenizer, name, None)) is not None and str(token) in known
    }
    others = [
        token["content"]
        for token in document["added_tokens"]
        if token["special"] and token["content"] not in named.values()
    ]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(document)),
        extra_special_tokens=others,
        clean_up_tokenization_spaces=bool(tokenizer.clean_up_tokenization_spaces),
        **named,
    )
