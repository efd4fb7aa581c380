"""Which tokens a restricted output projection keeps: those of a text or a list, and those that decoding needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import ExportError, UnsupportedModelError, brief_error
from exporter.options import ExportOptions
from graphs import DecoderGeometry, restriction_fault
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.ids import token_ids

_LINES: Final = 1000
"""Of text that are tokenised at once."""
_SHOWN: Final = 3
"""Tokens that a message names at most."""
_TOKENS_WANTED: Final = "wanted one token id a line, or a JSON list of them"

Int64 = NDArray[np.int64]


def kept_ids(
    checkpoint: Checkpoint,
    options: ExportOptions,
    geometry: DecoderGeometry,
    defaults: GenerationOptions,
    languages: Mapping[str, int],
) -> Int64 | None:
    """The ids that the output projection keeps, int64, ascending; None: all, where no option asks for less.

    Beside what the user's files name, these are every special token of the tokenizer (the end, padding and start
    tokens, those of all languages, and the unknown one), every language of the bundle, and every id that the
    stored generation options hold: forced and suppressed tokens, bad words, biased sequences.

    Args:
        checkpoint: the loaded model.
        options: of the export: its vocab_from and vocab_tokens.
        geometry: of the decoder.
        defaults: the generation options that the bundle will store.
        languages: language code -> token id.

    Raises:
        ExportError: a file cannot be read, holds no token or one that the decoder does not have, as an id or as
            text; or the text cannot be tokenised.
        UnsupportedModelError: the decoder's output projection cannot be cut to these rows exactly.
    """
    if not options.vocab_from and options.vocab_tokens is None:
        return None
    size = geometry.vocab_size
    found: set[int] = set()
    if options.vocab_tokens is not None:
        found |= read_token_ids(options.vocab_tokens, size)
    if options.vocab_from:
        found |= text_ids(checkpoint, options.vocab_from, size)
    # Nobody asked for these by name: one that the decoder lacks was never written.
    found |= {token for token in checkpoint.tokenizer.all_special_ids if token < size}
    found |= {token for ids in token_ids(defaults).values() for token in ids if token < size}
    found |= set(languages.values())
    ids = np.array(sorted(found), dtype=np.int64)
    fault = restriction_fault(checkpoint.model.decoder, torch.from_numpy(ids))
    if fault is not None:
        kind = checkpoint.model.config.decoder.model_type
        raise UnsupportedModelError(
            checkpoint.files.source,
            [
                f"the output projection of decoder {kind!r} cannot be cut to a part of the vocabulary: {fault}; "
                "export without --vocab-from and --vocab-tokens"
            ],
        )
    return ids


def read_token_ids(path: Path, vocab_size: int) -> set[int]:
    """The ids in a file: one a line, blank lines apart, or a JSON list.

    Raises:
        ExportError: it cannot be read, holds none, or something else than ids of the decoder.
    """
    text = _text(path, "--vocab-tokens wants a file with one token id a line, or a JSON list of them")
    try:
        listed: Any = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} is not JSON ({error}), {_TOKENS_WANTED}") from error
    entries: list[Any] = [_number(line) for line in text.split("\n") if line.strip()]
    if listed is not None:
        entries = listed
    wrong = [entry for entry in entries if type(entry) is not int or not 0 <= entry < vocab_size]
    if wrong:
        raise ExportError(
            f"{path} holds {json.dumps(wrong[0])[:40]}, {_TOKENS_WANTED}, from 0 to {vocab_size - 1}: correct it"
        )
    if not entries:
        raise ExportError(f"{path} holds no token id, {_TOKENS_WANTED}")
    return set(entries)


def _number(line: str) -> int | str:
    stripped = line.strip()
    # int() would take 1_000 and digits of other scripts as well.
    return int(stripped) if stripped.isascii() and stripped.isdigit() else stripped


def text_ids(checkpoint: Checkpoint, paths: Sequence[Path], vocab_size: int) -> set[int]:
    """The tokens of all lines of text files, tokenised as target text, without special tokens around them.

    Raises:
        ExportError: a file cannot be read or is empty; there is no tokenizer, or it fails; or it gives tokens that
            the decoder does not have.
    """
    if "tokenizer" in checkpoint.origin.neutral:
        raise ExportError(
            f"{checkpoint.files.source} comes without a tokenizer, so --vocab-from cannot tell which tokens a text "
            "needs: name them with --vocab-tokens"
        )
    tokenizer = _target_tokenizer(checkpoint)
    found: set[int] = set()
    for path in paths:
        before = _text(path, "--vocab-from wants a text file in UTF-8")
        lines = [line for line in before.splitlines() if line.strip()]
        if not lines:
            raise ExportError(
                f"{path} holds no text: --vocab-from wants what the model is to write, line by line"
            )
        try:
            tokens = set(_tokens(tokenizer, lines))
        except Exception as error:  # Rust's tokenizers raise bare Exception, Python's any builtin one
            raise ExportError(
                f"the tokenizer {type(tokenizer).__name__} cannot tokenise {path} ({brief_error(error)}): name the "
                "tokens with --vocab-tokens"
            ) from error
        _require_written(path, tokens, vocab_size, tokenizer)
        found |= tokens
    return found


def _target_tokenizer(checkpoint: Checkpoint) -> Any:
    """The checkpoint's own again: what a Python tokenizer was converted to can decode only."""
    files = checkpoint.origin.companions.get("tokenizer", checkpoint.files)
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.directory, trust_remote_code=False)
    except Exception as error:  # a class that transformers no longer has ends in any builtin error
        raise ExportError(
            f"{files.source}: its tokenizer can decode here and not encode ({brief_error(error)}), so --vocab-from "
            "cannot tell which tokens a text needs: name them with --vocab-tokens"
        ) from error
    if getattr(tokenizer, "tgt_lang", "") is None:
        # M2M100 knows no target text without; it changes no word's tokens.
        tokenizer.tgt_lang = tokenizer.src_lang
    return tokenizer


def _require_written(path: Path, tokens: Collection[int], vocab_size: int, tokenizer: Any) -> None:
    """See that the decoder has these tokens, as a tokenizer with tokens added behind its vocabulary may not have.

    Raises:
        ExportError: it lacks some.
    """
    beyond = sorted(token for token in tokens if token >= vocab_size)
    if not beyond:
        return
    shown = ", ".join(f"{tokenizer.convert_ids_to_tokens(token)!r} ({token})" for token in beyond[:_SHOWN])
    more = ", ..." if len(beyond) > _SHOWN else ""
    count = f"{len(beyond)} token{'s' if len(beyond) > 1 else ''}"
    raise ExportError(
        f"{path} needs {count} that the decoder cannot write, wanted ids from 0 to {vocab_size - 1}: "
        f"{shown}{more}; take what gives them out of the text"
    )


def _tokens(tokenizer: Any, lines: Sequence[str]) -> Iterator[int]:
    for start in range(0, len(lines), _LINES):
        several = lines[start : start + _LINES]
        encoded = tokenizer(text_target=several, add_special_tokens=False, verbose=False)
        for ids in encoded["input_ids"]:
            yield from ids


def _text(path: Path, wanted: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror}): {wanted}") from error
    except UnicodeDecodeError as error:
        raise ExportError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): {wanted}") from error
