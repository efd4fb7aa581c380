"""Tokens -> text: the joining rules that a manifest can state.

A rule is a list of steps. Each takes the list of tokens that the step before it left and gives a new list;
at the end the tokens are put together without anything between them. The kinds ``metaspace`` and
``wordpiece`` are the one step of that name; ``byte_level`` joins raw bytes and has no steps.

================= =====================================================================================
step              what it does
================= =====================================================================================
``replace``       in each token, every occurrence of ``pattern`` becomes ``content``, from left to right
``byte_fallback`` a token ``<0xHH>`` (two hexadecimal digits of any case; the first may also be ``+``, read
                  as 0) stands for that byte. A run of such tokens becomes one token, its UTF-8 text, or,
                  where the run as a whole is not UTF-8, one token U+FFFD for each of its bytes
``byte_level``    all tokens become one: the bytes of each as ``byte_level_bytes`` gives them are joined;
                  what is not UTF-8 becomes U+FFFD, one for each maximal part of a character
``join``          all tokens become one, with ``content`` between them; no tokens become an empty one
``strip``         in each token, up to ``count`` characters ``content`` are dropped from the beginning
``trim``          in each token, all characters that are in ``content`` are dropped from both ends
``metaspace``     every character ``pattern`` becomes a space; in the first token it is dropped instead, all
                  of them, unless ``prepend_scheme`` is "never"
``wordpiece``     a token that begins with ``pattern`` loses it, any other gets a space before it; the first
                  token is left as it is. With ``cleanup``, WORDPIECE_CLEANUP is then replaced in each token
``suffix``        in each token, every ``pattern`` becomes a space, in the last token it is dropped
``ctc``           of equal tokens that follow each other one is kept; in each, every ``pattern`` is dropped;
                  with ``cleanup``, WORDPIECE_CLEANUP is replaced and every ``content`` becomes a space;
                  empty tokens are dropped
================= =====================================================================================

They are what the decoders of the tokenizers library do (Replace, ByteFallback, ByteLevel, Fuse, Strip,
Metaspace, WordPiece, BPEDecoder, CTC), and what transformers' tokenizers in Python need beyond them (join
with a separator, trim).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep
from s2t_runtime.errors import BundleError

TEXT_CLEANUP: Final = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
"""What transformers' clean_up_tokenization replaces, in its order."""

# The tokenizers library has one more, between 'm and 's.
WORDPIECE_CLEANUP: Final = (*TEXT_CLEANUP[:7], (" do not", " don't"), *TEXT_CLEANUP[7:])
"""What the clean-up of the WordPiece and CTC decoders replaces, in its order."""

_BYTE_TOKEN: Final = re.compile(r"<0x([+0-9A-Fa-f][0-9A-Fa-f])>")


def _byte_of_character() -> dict[str, int]:
    """GPT-2's map: printable Latin-1 stands for itself, the other bytes for U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


_BYTE_OF: Final = _byte_of_character()


def byte_level_bytes(token: str) -> bytes:
    """The bytes that a token of a byte-level tokenizer stands for, added tokens included.

    A token with any character outside GPT-2's map (a space, Japanese) stands for its own UTF-8.
    """
    if all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    return token.encode()


def join_tokens(tokens: Sequence[bytes], detokenizer: Detokenizer) -> str:
    """The text of tokens, as the detokenizer says.

    Args:
        tokens: the bytes of each token, as vocabulary.bin has them; special ones are already left out.
        detokenizer: the joining rule.

    Raises:
        BundleError: the detokenizer's kind or a step is unknown, or a field that it needs is missing.
    """
    if detokenizer.kind == "byte_level":
        text = b"".join(tokens).decode(errors="replace")
    else:
        pieces = [token.decode(errors="replace") for token in tokens]
        for step in _steps(detokenizer):
            pieces = _applied(step, pieces)
        text = "".join(pieces)
    return replaced(text, TEXT_CLEANUP) if detokenizer.clean_up_tokenization_spaces else text


def replaced(text: str, replacements: Iterable[tuple[str, str]]) -> str:
    """The text after each replacement in turn."""
    for old, new in replacements:
        text = text.replace(old, new)
    return text


def _steps(detokenizer: Detokenizer) -> tuple[JoiningStep, ...]:
    if detokenizer.kind == "steps":
        return detokenizer.steps
    if detokenizer.kind == "metaspace":
        if not detokenizer.replacement or detokenizer.prepend_scheme is None:
            raise BundleError("detokenizer: metaspace needs replacement and prepend_scheme: export again")
        scheme = detokenizer.prepend_scheme
        return (JoiningStep("metaspace", pattern=detokenizer.replacement, prepend_scheme=scheme),)
    if detokenizer.kind == "wordpiece":
        if detokenizer.prefix is None:
            raise BundleError("detokenizer: wordpiece needs prefix: export again")
        return (JoiningStep("wordpiece", pattern=detokenizer.prefix, cleanup=detokenizer.cleanup),)
    raise BundleError(
        f"detokenizer.kind is {detokenizer.kind!r}, wanted metaspace, byte_level, wordpiece or steps: export again"
    )


def _applied(step: JoiningStep, pieces: list[str]) -> list[str]:
    if step.step not in _STEPS:
        raise BundleError(
            f"detokenizer.steps has {step.step!r}, wanted one of {', '.join(_STEPS)}: export again"
        )
    apply, needed = _STEPS[step.step]
    missing = [name for name in needed if getattr(step, name) is None]
    if missing or ("pattern" in needed and not step.pattern and step.step != "wordpiece"):
        raise BundleError(f"detokenizer.steps: {step.step} needs {' and '.join(needed)}: export again")
    return apply(step, pieces)


def _replace(step: JoiningStep, pieces: list[str]) -> list[str]:
    return [piece.replace(step.pattern or "", step.content or "") for piece in pieces]


def _byte_fallback(_: JoiningStep, pieces: list[str]) -> list[str]:
    result: list[str] = []
    for is_run, group in groupby(pieces, key=lambda piece: _BYTE_TOKEN.fullmatch(piece) is not None):
        if not is_run:
            result.extend(group)
            continue
        run = bytes(int(piece[3:5], 16) for piece in group)
        try:
            result.append(run.decode())
        except UnicodeDecodeError:
            result.extend("\ufffd" * len(run))
    return result


def _byte_level(_: JoiningStep, pieces: list[str]) -> list[str]:
    return [b"".join(map(byte_level_bytes, pieces)).decode(errors="replace")]


def _join(step: JoiningStep, pieces: list[str]) -> list[str]:
    return [(step.content or "").join(pieces)]


def _strip(step: JoiningStep, pieces: list[str]) -> list[str]:
    def stripped(piece: str) -> str:
        beginning = len(piece) - len(piece.lstrip(step.content))
        return piece[min(step.count, beginning) :]

    return [stripped(piece) for piece in pieces]


def _trim(step: JoiningStep, pieces: list[str]) -> list[str]:
    return [piece.strip(step.content) for piece in pieces]


def _metaspace(step: JoiningStep, pieces: list[str]) -> list[str]:
    first = " " if step.prepend_scheme == "never" else ""
    return [piece.replace(step.pattern or "", " " if index else first) for index, piece in enumerate(pieces)]


def _wordpiece(step: JoiningStep, pieces: list[str]) -> list[str]:
    prefix = step.pattern or ""
    result = pieces[:1]
    result += [
        piece.removeprefix(prefix) if piece.startswith(prefix) else " " + piece for piece in pieces[1:]
    ]
    return [replaced(piece, WORDPIECE_CLEANUP) for piece in result] if step.cleanup else result


def _suffix(step: JoiningStep, pieces: list[str]) -> list[str]:
    last = len(pieces) - 1
    return [
        piece.replace(step.pattern or "", "" if index == last else " ") for index, piece in enumerate(pieces)
    ]


def _ctc(step: JoiningStep, pieces: list[str]) -> list[str]:
    result = [piece.replace(step.pattern or "", "") for piece, _ in groupby(pieces)]
    if step.cleanup:
        cleaned = (replaced(piece, WORDPIECE_CLEANUP) for piece in result)
        result = [piece.replace(step.content or "", " ") for piece in cleaned]
    return [piece for piece in result if piece]


_Apply = Callable[[JoiningStep, list[str]], list[str]]
_STEPS: Final[dict[str, tuple[_Apply, tuple[str, ...]]]] = {
    "replace": (_replace, ("pattern", "content")),
    "byte_fallback": (_byte_fallback, ()),
    "byte_level": (_byte_level, ()),
    "join": (_join, ("content",)),
    "strip": (_strip, ("content",)),
    "trim": (_trim, ("content",)),
    "metaspace": (_metaspace, ("pattern", "prepend_scheme")),
    "wordpiece": (_wordpiece, ("pattern",)),
    "suffix": (_suffix, ("pattern",)),
    "ctc": (_ctc, ("pattern", "content")),
}
"""Each step, and the fields that it needs."""
