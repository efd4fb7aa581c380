"""Whether ONNX Runtime's products of uint8 with int8 are exact on this processor, found by computing one."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

EXACT_PRODUCTS: Final = ("session.x64quantprecision", "1")
"""The session entry with which ONNX Runtime takes uint8 for both factors, which is slower and never overflows."""

# y = MatMulInteger(a, b) with a uint8, b int8 and y int32, as onnx.helper writes it: the runtime does without onnx.
_PRODUCT: Final = bytes.fromhex(
    "080512003a620a180a01610a0162120179220d4d61744d756c496e74656765721201675a150a016112100a0e0802120a0a0312016d"
    "0a0312016b5a150a016212100a0e0803120a0a0312016b0a0312016e62150a017912100a0e0806120a0a0312016d0a0312016e42040a00100a"
)


@functools.cache
def products_overflow(ort: Any) -> bool:
    """Compute the largest product that there is, and see whether it comes out.

    x86 processors without VNNI multiply uint8 with int8 by an instruction that adds pairs of products in 16 bits and
    cuts off what is beyond. ``EXACT_PRODUCTS`` is for them, but ONNX Runtime obeys it on others as well, where it costs
    40 % of the speed and a quarter more memory for nothing. Names of processor features do not tell what its kernels
    use, so the kernels are asked: once a process, in 4 ms.

    Args:
        ort: the module onnxruntime.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(_PRODUCT, options, providers=["CPUExecutionProvider"])
    terms = 64
    right = np.full((terms, 16), 127, np.int8)
    for rows in (1, 4):  # one row has a kernel of its own
        (product,) = session.run(None, {"a": np.full((rows, terms), 255, np.uint8), "b": right})
        if not np.all(product == terms * 255 * 127):
            return True
    return False
