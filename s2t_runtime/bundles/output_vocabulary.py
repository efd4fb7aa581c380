"""The ids that a decoder with a restricted output projection can write, and where each stands in its logits.

The file that the manifest names holds int32, little-endian, strictly ascending, and nothing else: number c
is the token id of column c of ``logits``. A bundle without one has a column for every id.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.errors import BundleError

OUTPUT_VOCABULARY: Final = "output_vocabulary.bin"
"""What export-s2t calls the file."""
_REMEDY: Final = "copy the bundle again or export again"

Int64 = NDArray[np.int64]


def write_output_vocabulary(path: Path, ids: Int64) -> None:
    """Write the file.

    Args:
        path: the file to write; the caller puts it in place whole.
        ids: int64 [columns], strictly ascending.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_bytes(ids.astype("<i4").tobytes())


def read_output_vocabulary(path: Path, *, count: int, vocab_size: int) -> Int64:
    """The token id of each column of the logits, int64 [columns].

    Args:
        path: the file.
        count: ids that it must hold, 1 at least.
        vocab_size: ids that the decoder takes.

    Raises:
        BundleError: the file is missing, or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error
    if len(data) != 4 * count or count < 1:
        raise BundleError(
            f"{path} has {len(data)} bytes, wanted {4 * max(count, 1)}, 4 for each id: {_REMEDY}"
        )
    ids = np.frombuffer(data, "<i4").astype(np.int64)
    if ids[0] < 0 or ids[-1] >= vocab_size or (np.diff(ids) <= 0).any():
        raise BundleError(
            f"{path} holds other numbers than token ids from 0 to {vocab_size - 1} in rising order: {_REMEDY}"
        )
    ids.flags.writeable = False  # one array for all threads
    return ids


def outside(tokens: Sequence[int], output_ids: Int64 | None) -> list[int]:
    """Those of the tokens that have no column, in order; ``output_ids`` None has one for each."""
    if output_ids is None or not len(tokens):
        return []
    places = np.searchsorted(output_ids, tokens)
    found = output_ids[np.minimum(places, len(output_ids) - 1)] == tokens
    return [token for token, known in zip(tokens, found.tolist(), strict=True) if not known]


def columns_of(tokens: Sequence[int], output_ids: Int64 | None) -> Int64:
    """The columns of tokens that have one, int64 [tokens]."""
    wanted = np.asarray(tokens, dtype=np.int64)
    return wanted if output_ids is None else np.searchsorted(output_ids, wanted)
