"""Replaces float16's negative infinity in constants by the lowest number that it has."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def finite_constants(model: ir.Model) -> tuple[ir.Model, bool]:
    """Make -inf in float16 constants -65504, in place.

    torch's own attention hides padding by adding -inf. The softmax of both is 0, but only the finite one leaves
    a row of padding alone without NaN, and keeps overflow detectable. Positive infinity is left: no mask needs
    it, so it is a mistake that the check of the file shall see.
    """
    changed = False
    for value in model.graph.initializers.values():
        finite = _finite(value.const_value)
        if finite is not None:
            value.const_value = finite
            changed = True
    for node in model.graph.all_nodes():
        given = node.attributes.get("value") if node.op_type == "Constant" else None
        finite = _finite(None if given is None else given.as_tensor())
        if finite is not None:
            node.attributes["value"] = ir.AttrTensor("value", finite)
            node.outputs[0].const_value = finite
            changed = True
    return model, changed


def _finite(tensor: ir.TensorProtocol | None) -> ir.TensorProtocol | None:
    """The tensor without -inf; None where it has none."""
    if tensor is None or tensor.dtype != ir.DataType.FLOAT16:
        return None
    numbers = tensor.numpy()
    hidden = np.isneginf(numbers)
    if not hidden.any():
        return None
    lowest = np.finfo(np.float16).min
    return ir.Tensor(np.where(hidden, lowest, numbers).astype(np.float16), name=tensor.name)
