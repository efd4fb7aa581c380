r"""vocabulary.bin: all that a host without a tokenizer library needs to turn token ids into text.

The file, little-endian throughout, nothing between the parts and nothing after them:

=======================  ==========================================================================
magic                    4 bytes, ``S2TV``
version                  uint32, 1
count                    uint32, the number of ids: 0 .. count - 1
offsets                  uint64 [count + 1], into the blob; not aligned (the array begins at byte 12);
                         the first is 0, none is smaller than the one before, the last is the
                         blob's length. Token i is ``blob[offsets[i]:offsets[i + 1]]``
flags                    uint8 [count]: bit 0 special, bit 1 added, bit 2 absent (no token has this
                         id; its bytes are empty). Readers ignore the other bits
blob                     the bytes of all tokens, one after the other
=======================  ==========================================================================

A token's bytes depend on the detokenizer's kind: the UTF-8 of the token for ``metaspace`` and
``wordpiece``; for ``byte_level`` what ``byte_level_bytes`` gives, so raw bytes that may be a part of a
character. Added tokens follow the same rule as the others, because the tokenizers library decodes them so.

Text is made so, which gives what ``tokenizers.Tokenizer.decode`` gives:

1. Ids outside 0 .. count - 1 and absent ones are skipped; special ones too, unless they are asked for.
   "First token" below is the first that is left.
2. The tokens are joined by the detokenizer's kind.
   ``metaspace``: every ``replacement`` becomes a space; in the first token it is dropped instead, all of
   them, unless ``prepend_scheme`` is "never".
   ``byte_level``: the bytes are joined; what is not UTF-8 becomes U+FFFD, one for each maximal part of a
   character (as WHATWG, Rust and Python do it).
   ``wordpiece``: a token that begins with ``prefix`` loses it, any other gets a space before it; the first
   token is left as it is. With ``cleanup``, the replacements of WORDPIECE_CLEANUP are then made, in
   order, in each token by itself.
3. With ``clean_up_tokenization_spaces``, the replacements of TEXT_CLEANUP are made in the whole text.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.errors import BundleError
from s2t_runtime.manifest import Detokenizer

VERSION: Final = 1
SPECIAL: Final = 1
ADDED: Final = 2
ABSENT: Final = 4

_MAGIC: Final = b"S2TV"
_HEADER: Final = struct.Struct("<4sII")
_REMEDY: Final = "copy the bundle again or export again"

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
"""What the WordPiece decoder's own clean-up replaces, in its order."""


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


def write_vocabulary(path: str | os.PathLike[str], tokens: Sequence[bytes], flags: Sequence[int]) -> None:
    """Write vocabulary.bin.

    Args:
        path: the file to write; the caller puts it in place whole.
        tokens: the bytes of each id, in order; b"" where no token has the id.
        flags: SPECIAL, ADDED and ABSENT of each id, added up.

    Raises:
        BundleError: lengths that differ, or flags outside 0 .. 7.
        OSError: the file cannot be written.
    """
    if len(tokens) != len(flags):
        raise BundleError(f"{len(tokens)} tokens and {len(flags)} flags, wanted one flag for each token")
    if any(not 0 <= flag <= SPECIAL + ADDED + ABSENT for flag in flags):
        raise BundleError(f"flags {sorted(set(flags))}, wanted sums of SPECIAL, ADDED and ABSENT: 0 .. 7")
    offsets = np.zeros(len(tokens) + 1, dtype="<u8")
    np.cumsum([len(token) for token in tokens], out=offsets[1:])
    with Path(path).open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, VERSION, len(tokens)))
        file.write(offsets.tobytes())
        file.write(bytes(flags))
        file.writelines(tokens)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of vocabulary.bin.

    Attributes:
        offsets: uint64 [count + 1] into ``blob``.
        flags: uint8 [count].
        blob: the bytes of all tokens.
    """

    offsets: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    blob: bytes

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read vocabulary.bin.

        Raises:
            BundleError: the file is missing, not a vocabulary, newer than this runtime, or truncated.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error
        if data[:4] != _MAGIC:
            raise BundleError(f"{path} begins with {data[:4]!r}, wanted {_MAGIC!r}: {_REMEDY}")
        if len(data) < _HEADER.size:
            raise BundleError(f"{path} has {len(data)} bytes, wanted at least {_HEADER.size}: {_REMEDY}")
        _, version, count = _HEADER.unpack_from(data)
        if version != VERSION:
            raise BundleError(
                f"{path} has version {version}; this s2t_runtime reads {VERSION}: install a newer export-s2t"
            )
        blob_start = _HEADER.size + 8 * (count + 1) + count
        if len(data) < blob_start:
            raise BundleError(f"{path} has {len(data)} bytes, wanted at least {blob_start}: {_REMEDY}")
        offsets = np.frombuffer(data, "<u8", count + 1, _HEADER.size).astype(np.uint64)
        flags = np.frombuffer(data, np.uint8, count, blob_start - count)
        blob = data[blob_start:]
        if offsets[0] != 0 or np.any(offsets[1:] < offsets[:-1]) or int(offsets[-1]) != len(blob):
            raise BundleError(
                f"{path} has offsets {int(offsets[0])} .. {int(offsets[-1])}, wanted rising ones, "
                f"0 .. {len(blob)}: {_REMEDY}"
            )
        return cls(offsets, flags, blob)

    def __len__(self) -> int:
        return len(self.flags)

    def token(self, token_id: int) -> bytes:
        """The bytes of a token, 0 <= token_id < len(self)."""
        return self.blob[int(self.offsets[token_id]) : int(self.offsets[token_id + 1])]

    def decode(
        self, ids: Iterable[int], detokenizer: Detokenizer, *, skip_special_tokens: bool = True
    ) -> str:
        """The text of a sequence of ids, joined as the module's docstring says.

        Args:
            ids: token ids; those that are not in the vocabulary are skipped.
            detokenizer: the joining rule, from the manifest.
            skip_special_tokens: leave special tokens out.

        Raises:
            BundleError: the detokenizer's kind is unknown, or a field that it needs is missing.
        """
        skipped = ABSENT | SPECIAL if skip_special_tokens else ABSENT
        known = (int(token_id) for token_id in ids if 0 <= token_id < len(self))
        tokens = [self.token(token_id) for token_id in known if not self.flags[token_id] & skipped]
        if detokenizer.kind == "byte_level":
            text = b"".join(tokens).decode(errors="replace")
        elif detokenizer.kind == "metaspace":
            text = _join_metaspace(_texts(tokens), detokenizer)
        elif detokenizer.kind == "wordpiece":
            text = _join_wordpiece(_texts(tokens), detokenizer)
        else:
            raise BundleError(
                f"detokenizer.kind is {detokenizer.kind!r}, wanted metaspace, byte_level or wordpiece: "
                "export again"
            )
        return _replaced(text, TEXT_CLEANUP) if detokenizer.clean_up_tokenization_spaces else text


def _texts(tokens: Iterable[bytes]) -> list[str]:
    return [token.decode(errors="replace") for token in tokens]


def _join_metaspace(tokens: list[str], detokenizer: Detokenizer) -> str:
    replacement = detokenizer.replacement
    if not replacement or detokenizer.prepend_scheme is None:
        raise BundleError("detokenizer: metaspace needs replacement and prepend_scheme: export again")
    first = " " if detokenizer.prepend_scheme == "never" else ""
    return "".join(token.replace(replacement, " " if index else first) for index, token in enumerate(tokens))


def _join_wordpiece(tokens: list[str], detokenizer: Detokenizer) -> str:
    prefix = detokenizer.prefix
    if prefix is None:
        raise BundleError("detokenizer: wordpiece needs prefix: export again")
    pieces = tokens[:1]
    pieces += [
        token.removeprefix(prefix) if token.startswith(prefix) else " " + token for token in tokens[1:]
    ]
    if detokenizer.cleanup:
        pieces = [_replaced(piece, WORDPIECE_CLEANUP) for piece in pieces]
    return "".join(pieces)


def _replaced(text: str, replacements: Iterable[tuple[str, str]]) -> str:
    for old, new in replacements:
        text = text.replace(old, new)
    return text
