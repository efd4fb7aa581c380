"""tokenizer.json for Python, vocabulary.bin for hosts without a tokenizer library."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from s2t_runtime.manifest import Detokenizer
from s2t_runtime.vocabulary import ABSENT, ADDED, SPECIAL, Vocabulary, byte_level_bytes, write_vocabulary

TOKENIZER = "tokenizer.json"
VOCABULARY = "vocabulary.bin"
_TRIALS = 500
_TRIAL_LENGTH = 12


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, directory: Path) -> Detokenizer | None:
    """Write both files.

    Returns:
        How the vocabulary's tokens are joined; None where that rule is none of the known ones, or does
        not give the tokenizer's own text on random token sequences. Hosts then need tokenizer.json.
    """
    # Not backend_tokenizer.save(): a full disk would raise a bare Exception there, and no OSError.
    text = tokenizer.backend_tokenizer.to_str(pretty=True)
    (directory / TOKENIZER).write_text(text, encoding="utf-8")
    document = json.loads(text)
    detokenizer = _joining_rule(document.get("decoder"), cleanup=_cleans_up(tokenizer, document))
    _write_vocabulary(tokenizer, directory / VOCABULARY, byte_level=_is_byte_level(document.get("decoder")))
    if detokenizer is None or not _decodes_alike(tokenizer, directory / VOCABULARY, detokenizer):
        return None
    return detokenizer


def _cleans_up(tokenizer: PreTrainedTokenizerBase, document: dict[str, Any]) -> bool:
    """Whether decode() cleans up: transformers 5 ignores the setting for BPE, whose spaces are exact."""
    wanted = bool(tokenizer.clean_up_tokenization_spaces)
    model = document.get("model")
    is_bpe = isinstance(model, dict) and model.get("type") == "BPE"
    forced = getattr(
        tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False
    )
    return wanted and (not is_bpe or bool(forced))


def _size(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the largest id: ids may have gaps, so the number of tokens can be smaller."""
    return int(max(tokenizer.get_vocab().values())) + 1


def _is_byte_level(decoder: Any) -> bool:
    return isinstance(decoder, dict) and decoder.get("type") == "ByteLevel"


def _joining_rule(decoder: Any, *, cleanup: bool) -> Detokenizer | None:
    kind = decoder.get("type") if isinstance(decoder, dict) else None
    if kind == "Metaspace":
        return Detokenizer(
            "metaspace",
            replacement=decoder["replacement"],
            prepend_scheme=decoder["prepend_scheme"],
            clean_up_tokenization_spaces=cleanup,
        )
    if kind == "ByteLevel":
        return Detokenizer("byte_level", clean_up_tokenization_spaces=cleanup)
    if kind == "WordPiece":
        return Detokenizer(
            "wordpiece",
            prefix=decoder["prefix"],
            cleanup=bool(decoder["cleanup"]),
            clean_up_tokenization_spaces=cleanup,
        )
    return None


def _write_vocabulary(tokenizer: PreTrainedTokenizerBase, path: Path, *, byte_level: bool) -> None:
    added = tokenizer.added_tokens_decoder
    special = set(tokenizer.all_special_ids) | {index for index, token in added.items() if token.special}
    tokens, flags = [], []
    for index in range(_size(tokenizer)):
        token: Any = tokenizer.convert_ids_to_tokens(index)  # one id in, one text or None out
        if token is None:
            tokens.append(b"")
            flags.append(ABSENT)
            continue
        tokens.append(byte_level_bytes(token) if byte_level else token.encode())
        flags.append(SPECIAL * (index in special) | ADDED * (index in added))
    write_vocabulary(path, tokens, flags)


def _decodes_alike(tokenizer: PreTrainedTokenizerBase, path: Path, detokenizer: Detokenizer) -> bool:
    vocabulary, generator, size = Vocabulary.read(path), random.Random(0), _size(tokenizer)  # noqa: S311
    for _ in range(_TRIALS):
        ids = [generator.randrange(size) for _ in range(generator.randint(1, _TRIAL_LENGTH))]
        if vocabulary.decode(ids, detokenizer) != tokenizer.decode(ids, skip_special_tokens=True):
            return False
    return True
