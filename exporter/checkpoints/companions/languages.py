"""Target languages of a checkpoint: code -> id of the token that generation is forced to begin with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedTokenizerBase

from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, ExportError

KNOWN: Final = "known_languages.json"
_EXAMPLE: Final = '{"de": "de_DE", "fr": 250008}'

_TAGS: Final = (
    re.compile(r"([a-z]{2,3})_(?:[A-Z]{2}|[A-Z][a-z]{3})"),  # mBART's de_DE, NLLB's deu_Latn
    re.compile(r"__([a-z]{2,3}(?:_[A-Z][a-z]{3})?)__"),  # M2M100's __de__, SeamlessM4T's __deu__
    re.compile(r"<2([a-z]{2,3})>"),  # IndicBART's <2hi>
    re.compile(r"<lang:([a-z]{2,3})>"),  # Speech2Text's <lang:de>
    re.compile(r"<\|([a-z]{2,3})\|>"),  # Whisper's <|de|>
)
_NO_LANGUAGES: Final = frozenset(
    f"<|{word}|>" for word in ("bos", "cls", "end", "eos", "eot", "pad", "sep", "sos", "sot", "sys", "unk")
)
"""Special tokens of other kinds that look like Whisper's."""


def find_languages(
    files: CheckpointFiles,
    tokenizer: PreTrainedTokenizerBase,
    generation_config: Any,
    *,
    vocab_size: int,
    given: Path | None = None,
) -> dict[str, int]:
    """The languages that ``forced_bos_token_id`` can choose.

    In order of trust: the file that the user gives; ``lang_to_id`` of generation_config.json, the
    checkpoint's own word, which a fine-tuned copy of a known checkpoint may have changed; the model card of a
    known checkpoint; the tokenizer's tags such as ``de_DE`` (as the short code where that is unambiguous).

    Args:
        files: the checkpoint's; known by hub id, or by the name that its config.json was loaded from.
        tokenizer: its tokenizer.
        generation_config: its GenerationConfig.
        vocab_size: of the decoder.
        given: a JSON file {code: token id or token text}.

    Raises:
        ExportError: the file cannot be used; all its problems at once.
        CheckpointError: ``lang_to_id`` cannot be used.
    """
    if given is not None:
        return read_languages(given, tokenizer, vocab_size=vocab_size)
    declared = getattr(generation_config, "lang_to_id", None)
    if isinstance(declared, Mapping):
        return _declared(files, declared, vocab_size)
    known = _known(files, tokenizer)
    found = _from_tags(tokenizer) if known is None else known
    return {code: token for code, token in found.items() if token < vocab_size}


def read_languages(path: Path, tokenizer: PreTrainedTokenizerBase, *, vocab_size: int) -> dict[str, int]:
    """Read a file of language codes. An empty object says that there are no languages to choose from.

    Raises:
        ExportError: it cannot be read, is no JSON object of codes, or names tokens that are not there.
    """
    twice: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        codes = [code for code, _ in pairs]
        twice.extend(sorted({code for code in codes if codes.count(code) > 1}))
        return dict(pairs)

    try:
        stored = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=mapping)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read ({error.strerror}): --languages wants a JSON file such as {_EXAMPLE}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} is not JSON ({error}): write an object such as {_EXAMPLE}") from error
    if not isinstance(stored, dict):
        raise ExportError(
            f"{path} holds {json.dumps(stored)[:40]}, wanted an object such as {_EXAMPLE}: language code -> token"
        )
    problems = [f"{code!r} is there twice, wanted each code once" for code in twice]
    found: dict[str, int] = {}
    vocabulary = tokenizer.get_vocab()
    for code, token in stored.items():
        problem = _problem(code, token, vocabulary, vocab_size)
        if problem:
            problems.append(problem)
        else:
            found[code] = vocabulary[token] if isinstance(token, str) else token
    problems += _shared(found)
    if problems:
        raise ExportError(f"{path} cannot be used: {'; '.join(problems)}: correct it, such as {_EXAMPLE}")
    return found


def _problem(code: str, token: Any, vocabulary: Mapping[str, int], vocab_size: int) -> str | None:
    if not code or code != "".join(code.split()):
        return f"{code!r} is no language code, wanted a text without spaces"
    if isinstance(token, str):
        if token not in vocabulary:
            return f"{code!r} names the token {token!r}, which the tokenizer does not have"
        token = vocabulary[token]
    if type(token) is not int:
        return f"{code!r} is {json.dumps(token)[:40]}, wanted a token id or the text of a token"
    if not 0 <= token < vocab_size:
        return f"{code!r} is token {token}, wanted one of the decoder's: 0 to {vocab_size - 1}"
    return None


def _shared(found: Mapping[str, int]) -> list[str]:
    """A result states the language of its first token, so a token must have one."""
    codes: dict[int, list[str]] = {}
    for code, token in found.items():
        codes.setdefault(token, []).append(code)
    return [
        f"{' and '.join(map(repr, several))} are both token {token}, wanted one code for a token"
        for token, several in codes.items()
        if len(several) > 1
    ]


def _declared(files: CheckpointFiles, declared: Mapping[Any, Any], vocab_size: int) -> dict[str, int]:
    found = {str(code).strip("<|>"): token for code, token in declared.items()}
    wrong = [
        f"{code!r} is {token!r}"
        for code, token in found.items()
        if type(token) is not int or not 0 <= token < vocab_size
    ]
    if wrong:
        raise CheckpointError(
            f"{files.source}: lang_to_id of generation_config.json cannot be used: {', '.join(wrong)}, wanted "
            f"token ids from 0 to {vocab_size - 1}: correct it, or give the languages with --languages"
        )
    return found


def _known(files: CheckpointFiles, tokenizer: PreTrainedTokenizerBase) -> dict[str, int] | None:
    """The map of a known checkpoint, if the tokenizer is still the one that the map is about."""
    table = json.loads(
        resources.files("exporter.checkpoints.companions").joinpath(KNOWN).read_text(encoding="utf-8")
    )
    names = [
        name for name in (files.model_id, _original_name(files.directory)) if name in table["checkpoints"]
    ]
    if not names:
        return None
    languages = table["languages"][table["checkpoints"][names[0]]]
    slots = [slot["id"] for slot in languages.values()]
    if tokenizer.convert_ids_to_tokens(slots) != [slot["token"] for slot in languages.values()]:
        return None
    return dict(zip(languages, slots, strict=True))


def _original_name(directory: Path) -> str | None:
    """What a saved copy was loaded from; transformers 4 wrote it into config.json."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    name = config.get("_name_or_path") if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


def _from_tags(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    named = {str(token) for token in tokenizer.special_tokens_map.values() if isinstance(token, str)}
    codes: dict[str, str] = {}
    # Only special tokens: an ordinary word may look like a tag.
    for token in tokenizer.all_special_tokens:
        matches = [match for tag in _TAGS if (match := tag.fullmatch(token))]
        if matches and token not in named and token not in _NO_LANGUAGES:
            codes[token] = matches[0][1]
    used = list(codes.values())
    vocabulary = tokenizer.get_vocab()
    return {code if used.count(code) == 1 else token: vocabulary[token] for token, code in codes.items()}
