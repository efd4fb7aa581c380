"""Statistics of samples, against numpy and the standard library."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from benchmarks.measuring.summary import summarise


@pytest.mark.parametrize("count", [2, 3, 10, 11, 250])
def test_it_is_what_numpy_and_statistics_say(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(size=count).tolist()
    found = summarise(samples)
    assert found.count == count
    assert (found.min, found.mean) == (min(samples), pytest.approx(statistics.fmean(samples)))
    assert found.median == pytest.approx(statistics.median(samples))
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    assert (found.p90, found.p95, found.p99) == pytest.approx((cuts[89], cuts[94], cuts[98]))
    assert found.spread == pytest.approx((cuts[74] - cuts[24]) / found.median)
    assert found.p99 == pytest.approx(float(np.quantile(samples, 0.99)))


def test_one_sample_has_no_spread() -> None:
    found = summarise([0.25])
    assert (found.min, found.mean, found.median, found.p90, found.p99, found.spread) == (0.25,) * 5 + (0.0,)


def test_zeros_have_no_spread_either() -> None:
    assert summarise([0.0, 0.0, 1.0]).spread == 0.0


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")]])
def test_samples_must_be_finite(samples: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^a summary needs finite samples, got \["):
        summarise(samples)
