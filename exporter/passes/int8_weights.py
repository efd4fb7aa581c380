"""Rounds matrices to int8, one scale a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
"""-128 is left out, so that the numbers are symmetric and need no zero point."""
_ROWS = 4096
"""Rounded at a time: a large matrix would otherwise be in memory three times in float32."""


@dataclass(frozen=True)
class Int8Rows:
    """A matrix [rows, columns] as ``numbers * scales[:, None]``.

    Attributes:
        numbers: int8 [rows, columns], -127 .. 127.
        scales: float32 [rows].
    """

    numbers: NDArray[np.int8]
    scales: NDArray[np.float32]


def int8_rows(matrix: NDArray[np.float32]) -> Int8Rows:
    """Round a float32 matrix [rows, columns]: every row by its largest magnitude, to nearest, ties to even."""
    numbers = np.empty(matrix.shape, dtype=np.int8)
    scales = np.empty(matrix.shape[0], dtype=np.float32)
    for start in range(0, len(matrix), _ROWS):
        part = np.ascontiguousarray(matrix[start : start + _ROWS], dtype=np.float32)
        scale = np.abs(part).max(axis=1) / np.float32(LARGEST)
        scale[scale == 0] = 1  # a row of zeros
        scales[start : start + _ROWS] = scale
        numbers[start : start + _ROWS] = np.clip(np.rint(part / scale[:, None]), -LARGEST, LARGEST)
    return Int8Rows(numbers, scales)
