"""What a series of samples says: the raw values stay in the record, this is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Of one series, in the unit of its samples."""

    count: int
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    spread: float
    """(75th - 25th percentile) / median: how much of a difference between two medians may be noise. 0 where the
    median is 0."""


def summarise(samples: Sequence[float]) -> Summary:
    """Summarise a series.

    Percentiles between two samples are interpolated linearly, as numpy does by default
    (Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 7).

    Raises:
        ValueError: there are no samples, or one is not finite.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a summary needs finite samples, got {list(samples)}")
    low, median, high, p90, p95, p99 = np.percentile(values, (25, 50, 75, 90, 95, 99)).tolist()
    spread = (high - low) / median if median else 0.0
    return Summary(values.size, float(values.min()), float(values.mean()), median, p90, p95, p99, spread)
