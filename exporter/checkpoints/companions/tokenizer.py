"""Reads a checkpoint's tokenizer, and sees that transformers has lost nothing of it on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers import __version__ as transformers_version
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

from exporter.checkpoints.sources.damage import damage
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, UnsupportedModelError, brief_error
from exporter.tokenizers import speech2text2
from exporter.tokenizers.python_tokenizers import with_backend

CONFIG: Final = "tokenizer_config.json"
_SERIALISED: Final = "tokenizer.json"
_SHOWN: Final = 3
# What a tokenizer may be made from; other files of these names' ending belong to the model.
_VOCABULARY_FILES: Final = ("*.model", "*.spm", "vocab.*", "merges.txt", "tokenizer.json")


def read_tokenizer(files: CheckpointFiles) -> PreTrainedTokenizerBase:
    """The tokenizer, by itself: AutoProcessor gives up where it does not know the processor's class.

    A tokenizer that transformers implements in Python comes back in the form of the tokenizers library,
    for decoding only.

    Raises:
        CheckpointError: it cannot be read, its class is unknown, or its vocabulary has not been read.
        UnsupportedModelError: it has no form for the tokenizers library.
    """
    problems = [
        problem
        for path in sorted(_vocabulary_files(files.directory) | {files.directory / CONFIG})
        if path.is_file()
        and (problem := damage(path))
        and (path.name != "merges.txt" or path.stat().st_size)  # some vocabularies have nothing to merge
    ]
    if problems:
        raise CheckpointError(f"{files.source}: the tokenizer cannot be read: {'; '.join(problems)}")
    if _is_speech2text2(files.directory):
        return speech2text2.speech2text2_tokenizer(files.directory, files.source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.directory, trust_remote_code=False)
    except Exception as error:  # the Rust tokenizers library raises bare Exception on a malformed file
        raise CheckpointError(_explained(files, error)) from error
    _check_vocabulary(tokenizer, files)
    if tokenizer.is_fast:
        return tokenizer
    converted = with_backend(tokenizer)
    if converted is None:
        raise UnsupportedModelError(
            files.source,
            [
                f"{type(tokenizer).__name__} has no tokenizer.json form, which bundles need for text: transformers "
                "implements it in Python, and its decode() joins tokens in none of the known ways; save a "
                "tokenizer.json that writes the same text beside it"
            ],
        )
    return converted


def _is_speech2text2(directory: Path) -> bool:
    """Whether the class is Speech2Text2's, by name or, as transformers 4 chose it, by the decoder's type."""
    if (directory / _SERIALISED).is_file() or tokenizer_class_from_name(speech2text2.CLASS) is not None:
        return False
    name = _class_name(directory)
    return name == speech2text2.CLASS or (name is None and _decoder_type(directory) == "speech_to_text_2")


def _decoder_type(directory: Path) -> object:
    try:
        stored: Any = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    decoder = stored.get("decoder") if isinstance(stored, dict) else None
    return decoder.get("model_type") if isinstance(decoder, dict) else None


def _explained(files: CheckpointFiles, error: Exception) -> str:
    """What went wrong, in transformers' own words where they do not mislead."""
    name = _class_name(files.directory)
    present = _present(files.directory)
    if (files.directory / _SERIALISED).is_file():
        return f"{files.source}: the tokenizer cannot be read: {brief_error(error)}"
    if name is None:
        return (
            f"{files.source}: the tokenizer cannot be read: there is {present}, but {CONFIG} names no "
            "tokenizer_class and there is no tokenizer.json; name the class, such as MBart50Tokenizer, or save "
            "the tokenizer again with tokenizer.save_pretrained()"
        )
    if tokenizer_class_from_name(name) is None:
        return (
            f"{files.source}: the tokenizer cannot be read: {CONFIG} names {name}, which transformers "
            f"{transformers_version} does not have, and there is no tokenizer.json; have one made by the version "
            "that has the class, and save it there"
        )
    return f"{files.source}: the tokenizer cannot be read: {brief_error(error)}"


def _class_name(directory: Path) -> str | None:
    for file in (CONFIG, "config.json"):
        try:
            stored: Any = json.loads((directory / file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        name = stored.get("tokenizer_class") if isinstance(stored, dict) else None
        if isinstance(name, str):
            return name
    return None


def _vocabulary_files(directory: Path) -> set[Path]:
    return {path for pattern in _VOCABULARY_FILES for path in directory.glob(pattern)}


def _present(directory: Path) -> str:
    names = sorted(path.name for path in _vocabulary_files(directory))
    return ", ".join(names) or "no vocabulary files"


def _check_vocabulary(tokenizer: PreTrainedTokenizerBase, files: CheckpointFiles) -> None:
    """Where it finds no file to read, transformers makes a tokenizer of a few special tokens, without a word."""
    directory, kind = files.directory, type(tokenizer).__name__
    wanted = [str(name) for name in type(tokenizer).vocab_files_names.values() if name != CONFIG]
    if wanted and not any((directory / name).is_file() for name in wanted):
        raise CheckpointError(
            f"{files.source}: {kind} reads {' or '.join(wanted)}, but there is {_present(directory)}, and it would "
            f"have {len(tokenizer)} tokens only: rename the file, or save a tokenizer.json there with "
            "tokenizer.save_pretrained()"
        )
    if not tokenizer.is_fast or (directory / _SERIALISED).is_file():
        return
    for name in wanted:
        lost = _lost_pieces(tokenizer, directory / name)
        if lost:
            shown = ", ".join(map(repr, lost[:_SHOWN])) + (", ..." if len(lost) > _SHOWN else "")
            raise CheckpointError(
                f"{files.source}: {kind} has lost {len(lost)} pieces of {name}: {shown}; its tokenizer_class does "
                f"not fit the file: correct it in {CONFIG}, or save a tokenizer.json there"
            )


def _lost_pieces(tokenizer: PreTrainedTokenizerBase, path: Path) -> list[str]:
    """The pieces of a sentencepiece file that the tokenizer does not know; none of a file of another kind."""
    if path.suffix not in {".model", ".spm"} or not path.is_file():
        return []
    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromFile(str(path))
    except (OSError, RuntimeError):  # a tiktoken file has such names too
        return []
    vocabulary = tokenizer.get_vocab()
    ordinary = (
        index
        for index in range(pieces.GetPieceSize())
        if not (pieces.IsControl(index) or pieces.IsUnknown(index) or pieces.IsUnused(index))
    )
    return [piece for index in ordinary if (piece := pieces.IdToPiece(index)) not in vocabulary]
