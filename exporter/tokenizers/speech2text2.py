"""Speech2Text2Tokenizer, which left transformers in version 5: its vocabulary and its decode(), for decoding only.

``convert_tokens_to_string`` of transformers 4 joins tokens with spaces, then deletes every ``"@@ "``; a last
``"@@"`` stays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from exporter.errors import CheckpointError, brief_error
from exporter.tokenizers.joining_rules import beginning_of_none

CLASS: Final = "Speech2Text2Tokenizer"
VOCABULARY: Final = "vocab.json"
_ROLES: Final = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
"""The class's own defaults."""


def speech2text2_tokenizer(directory: Path, source: str) -> PreTrainedTokenizerFast:
    """The same text from the tokenizers library.

    Args:
        directory: with vocab.json; merges.txt is for encoding, which a bundle does not do.
        source: what messages call it.

    Raises:
        CheckpointError: vocab.json is missing or no vocabulary.
    """
    vocabulary = _object(directory, VOCABULARY, source, needed=True)
    if not vocabulary or not all(type(index) is int for index in vocabulary.values()):
        raise CheckpointError(
            f'{source}: {VOCABULARY} holds no vocabulary, wanted an object such as {{"<s>": 0}}'
        )
    settings = _object(directory, "tokenizer_config.json", source)
    named = {**_ROLES, **_texts(settings), **_texts(_object(directory, "special_tokens_map.json", source))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=named["unk_token"]))
    words = decoders.WordPiece(prefix=beginning_of_none(vocabulary), cleanup=False)
    tokenizer.decoder = decoders.Sequence([words, decoders.Fuse(), decoders.Replace("@@ ", "")])
    known = {role: text for role, text in named.items() if text in vocabulary}
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False) for text in dict.fromkeys(known.values())]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=bool(settings.get("clean_up_tokenization_spaces", True)),
        **known,
    )


def _texts(stored: dict[str, Any]) -> dict[str, str]:
    """Role -> text, which newer files keep inside an object."""
    texts = {role: stored[role] for role in _ROLES if role in stored}
    inner = {role: text.get("content") if isinstance(text, dict) else text for role, text in texts.items()}
    return {role: text for role, text in inner.items() if isinstance(text, str)}


def _object(directory: Path, name: str, source: str, *, needed: bool = False) -> dict[str, Any]:
    path = directory / name
    if not path.is_file() and not needed:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{source}: {CLASS} reads {name}, which cannot be read: {brief_error(error)}"
        ) from error
    return found if isinstance(found, dict) else {}
