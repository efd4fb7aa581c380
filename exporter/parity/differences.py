"""Differences between a graph's outputs and eager PyTorch's, and what of them is tolerable."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exporter.onnx.session import Array

RELATIVE_TOLERANCE = {"fp32": 5e-4, "fp16": 3e-2, "int8": 1e-1}
"""Largest difference, as a share of the reference's largest value. fp32 graphs of trained models stay near
1e-6 (small) to 1e-4 (24 layers), fp16 graphs near 2e-3, int8 graphs near 2e-2; a wrong mask, position or layer is
off by 1e-1 and more."""


OWN_SPREAD_TIMES = 16
"""Rounding in every operation of a graph, as a multiple of what one unit in the last place of the features alone does
to eager's result. Of the graphs measured none went beyond 5; a mask error is a hundred times more than 16."""


@dataclass
class Differences:
    """Differences of one graph output, gathered over all cases."""

    output: str
    tolerance: float
    values: list[NDArray[np.float64]] = field(default_factory=list)
    scale: float = 0.0
    mismatched_shapes: list[str] = field(default_factory=list)
    excess: float = 0.0
    """The largest difference beyond what the model's own spread explains."""
    explained: float = 0.0
    """The largest difference that is allowed for that reason."""

    def add(self, got: Array, wanted: Array, own: Array | None = None) -> None:
        """Compare one case.

        Args:
            got: of the graph.
            wanted: of eager.
            own: what rounding alone does to eager's result, as ``own_spread`` measures it; None: not measured.
        """
        if got.shape != wanted.shape:
            self.mismatched_shapes.append(f"{list(got.shape)} for {list(wanted.shape)}")
            return
        mine, theirs = got.astype(np.float64), wanted.astype(np.float64)
        with np.errstate(invalid="ignore"):
            difference = np.where(mine == theirs, 0.0, np.abs(mine - theirs))  # equal infinities are equal
        # NaN compares as false everywhere; it must not pass as equal.
        difference = np.where(np.isnan(difference), np.inf, difference)
        self.values.append(difference.ravel())
        allowed = (
            np.zeros(1)
            if own is None
            else OWN_SPREAD_TIMES * np.nan_to_num(own.astype(np.float64), posinf=0.0)
        )
        self.excess = max(self.excess, float((difference - allowed).max(initial=0.0)))
        self.explained = max(self.explained, float(allowed.max(initial=0.0)))
        # An infinite scale would let every difference pass.
        finite = np.abs(theirs[np.isfinite(theirs)])
        self.scale = max(self.scale, float(finite.max(initial=0.0)))

    def summary(self) -> GraphRow:
        """Maximum, mean and 99th percentile, and whether they are within tolerance."""
        values = np.concatenate(self.values) if self.values else np.zeros(0)
        worst = float(values.max(initial=0.0))
        limit = self.tolerance * max(self.scale, 1e-3)
        passed = bool(len(values)) and self.excess <= limit and not self.mismatched_shapes
        return GraphRow(
            output=self.output,
            maximum=worst,
            mean=float(values.mean()) if len(values) else 0.0,
            # Not interpolated: next to an infinite difference that would give NaN.
            percentile_99=float(np.percentile(values, 99, method="lower")) if len(values) else 0.0,
            scale=self.scale,
            limit=limit,
            passed=passed,
            note="; ".join([*self.mismatched_shapes, *self._explanation(worst > limit)]),
        )

    def _explanation(self, needed: bool) -> list[str]:  # noqa: FBT001
        if not needed or not self.explained:
            return []
        return [
            f"in single frames up to {self.explained:.1e} more is allowed: {OWN_SPREAD_TIMES} times what eager itself "
            "makes of the last digit of its features"
        ]


@dataclass(frozen=True)
class GraphRow:
    """One line of the report: an output's differences over all cases."""

    output: str
    maximum: float
    mean: float
    percentile_99: float
    scale: float
    """Largest magnitude of the reference."""
    limit: float
    """Largest difference allowed."""
    passed: bool
    note: str = ""
