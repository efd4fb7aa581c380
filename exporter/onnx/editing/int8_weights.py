"""Rounds matrices to int8, one scale a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

LARGEST = 127
"""-128 is left out, so that the numbers are symmetric and need no zero point."""
_ELEMENTS = 1 << 20
"""Rounded at a time: they stay in the processor's cache from one operation to the next."""
Layout: TypeAlias = Literal["rows", "columns", "windows"]
"""How a constant becomes a matrix whose rows are rounded: as it is, transposed, or a convolution's windows."""


@dataclass(frozen=True)
class Int8Rows:
    """A matrix [rows, columns] as ``numbers * scales[:, None]``.

    Attributes:
        numbers: int8 [rows, columns], -127 .. 127, laid out in memory as the matrix was.
        scales: float32 [rows].
    """

    numbers: NDArray[np.int8]
    scales: NDArray[np.float32]


@dataclass
class Roundings:
    """What has been rounded of weight files, so that graphs which share a file share the work."""

    _known: dict[tuple[str, int, Layout], Int8Rows] = field(default_factory=dict)
    """File, offset and layout -> the matrix there."""

    def of(
        self, tensor: ir.TensorProtocol, layout: Layout, matrix: Callable[[], NDArray[np.float32]]
    ) -> Int8Rows:
        """Round a constant, or return what was made of the same place in the same file.

        Args:
            tensor: the constant.
            layout: how ``matrix`` looks at it.
            matrix: gives float32 [rows, columns].
        """
        if not isinstance(tensor, ir.ExternalTensor) or tensor.offset is None:
            return int8_rows(matrix())
        key = (str(tensor.path), tensor.offset, layout)
        if key not in self._known:
            self._known[key] = int8_rows(matrix())
        return self._known[key]


def int8_rows(matrix: NDArray[np.float32]) -> Int8Rows:
    """Round a float32 matrix [rows, columns]: every row by its largest magnitude, to nearest, ties to even.

    A transposed view is read as it lies in memory.
    """
    turned = matrix.flags.f_contiguous and not matrix.flags.c_contiguous
    laid_out = matrix.T if turned else np.ascontiguousarray(matrix)
    along = 0 if turned else 1
    step = max(1, _ELEMENTS // max(1, laid_out.shape[1]))
    parts = [slice(start, start + step) for start in range(0, len(laid_out), step)]
    largest = [np.abs(laid_out[part]).max(axis=along) for part in parts]
    peaks: NDArray[np.float32] = np.max(largest, axis=0) if turned else np.concatenate(largest)
    scales = peaks / np.float32(LARGEST)
    scales[scales == 0] = 1  # a row of zeros
    numbers = np.empty(laid_out.shape, dtype=np.int8)
    for part in parts:
        # At most 127 by the choice of the scale: nothing has to be clipped.
        scaled = laid_out[part] / (scales if turned else scales[part, None])
        numbers[part] = np.rint(scaled, out=scaled)
    return Int8Rows(numbers.T if turned else numbers, scales)
