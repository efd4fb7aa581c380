"""What a converted checkpoint's folder holds."""

from __future__ import annotations

from typing import Final

ENCODER: Final = "encoder"
DECODER: Final = "decoder"
BETWEEN: Final = "between.npz"
"""Weights of what stands between the two."""
