"""What a network computes in which type, and whether that is what was asked for.

TensorRT's engines are strongly typed: each layer computes in the types that the ONNX graph states. The
parsed network therefore tells before the build what the engine will be, and no GPU is needed for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.errors import EngineError
from exporter.onnx.block_names import in_blocks

PRODUCTS: Final = frozenset({"MATRIX_MULTIPLY", "CONVOLUTION", "DECONVOLUTION"})
"""Layer types that multiply matrices, so where float32 costs time."""
_SHOWN: Final = 5


@dataclass(frozen=True)
class Layer:
    """One layer of a parsed network: its type, the type of its first output, the ONNX node it came from."""

    kind: str
    output: str
    node: str


def census_of(layers: Iterable[Layer]) -> dict[str, dict[str, int]]:
    """Layer type -> type of the first output -> how many."""
    census: dict[str, dict[str, int]] = {}
    for layer in layers:
        counts = census.setdefault(layer.kind, {})
        counts[layer.output] = counts.get(layer.output, 0) + 1
    return census


def check_products(
    graph: str, precision: str, layers: Iterable[Layer], fp32_blocks: Mapping[str, str]
) -> None:
    """Refuse float32 matrix products that an fp16 bundle does not record.

    Args:
        graph: its name, for the message.
        precision: what was asked for; only "fp16" is checked.
        layers: of the parsed network.
        fp32_blocks: block -> reason, from the manifest.

    Raises:
        EngineError: names the products outside the recorded set.
    """
    if precision != "fp16":
        return
    strays = [
        layer.node
        for layer in layers
        if layer.kind in PRODUCTS and layer.output == "FLOAT" and not in_blocks(layer.node, fp32_blocks)
    ]
    if strays:
        more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
        raise EngineError(
            f"{graph} was asked for in fp16, but {len(strays)} matrix products compute in float32 outside the blocks "
            f"that the manifest records ({', '.join(sorted(fp32_blocks)) or 'none'}): "
            f"{', '.join(strays[:_SHOWN])}{more}: export again with --precision fp16"
        )
