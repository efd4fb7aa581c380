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

A token's bytes are those of its text in UTF-8; for a detokenizer of kind ``byte_level`` they are what
``byte_level_bytes`` gives, so raw bytes that may be a part of a character. Added tokens follow the same
rule as the others, because the tokenizers library decodes them so.

Text is made so, which gives what transformers' ``tokenizer.decode`` gives:

1. Ids outside 0 .. count - 1 and absent ones are skipped; special ones too, unless they are asked for.
   The first token that is left is "the first" for the joining rule.
2. The tokens are joined by the detokenizer's rule; see detokenizer.py.
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

from s2t_runtime.bundles.manifest import Detokenizer
from s2t_runtime.errors import BundleError
from s2t_runtime.text.detokenizer import join_tokens

VERSION: Final = 1
SPECIAL: Final = 1
ADDED: Final = 2
ABSENT: Final = 4

_MAGIC: Final = b"S2TV"
_HEADER: Final = struct.Struct("<4sII")
_REMEDY: Final = "copy the bundle again or export again"


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
        """The text of a sequence of ids, joined as the detokenizer says.

        Args:
            ids: token ids; those that are not in the vocabulary are skipped.
            detokenizer: the joining rule, from the manifest.
            skip_special_tokens: leave special tokens out.

        Raises:
            BundleError: the detokenizer's kind or a step is unknown, or a field that it needs is missing.
        """
        skipped = ABSENT | SPECIAL if skip_special_tokens else ABSENT
        known = (int(token_id) for token_id in ids if 0 <= token_id < len(self))
        tokens = [self.token(token_id) for token_id in known if not self.flags[token_id] & skipped]
        return join_tokens(tokens, detokenizer)
