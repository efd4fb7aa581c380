"""Which block of a precision policy a node of a graph belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OWN: Final = " (residual)"
"""Behind the name of a module: what it computes itself, which in a layer is the residual stream."""


def in_blocks(node: str, blocks: Iterable[str]) -> bool:
    """Whether a node lies in one of the blocks; nodes are called ``MODULE/...`` by their module's path."""
    scope = node.rpartition("/")[0]
    return any(
        scope == block.removesuffix(OWN) or (not block.endswith(OWN) and scope.startswith(f"{block}."))
        for block in blocks
    )
