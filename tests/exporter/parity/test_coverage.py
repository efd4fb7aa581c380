"""What the parity check decodes, of small and of large models."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exporter.parity.coverage import coverage_for

SMALL, LARGE = coverage_for(10_000_000), coverage_for(800_000_000)


def bundle(
    *,
    generation: Mapping[str, object] | None = None,
    languages: Mapping[str, int] | None = None,
    max_positions: int | None = None,
    min_samples: int = 400,
    max_samples: int = 960_000,
) -> Any:
    """As far as a plan looks at one."""
    audio = SimpleNamespace(sampling_rate=16000, min_samples=min_samples, max_samples=max_samples)
    decoder = SimpleNamespace(max_positions=max_positions)
    manifest = SimpleNamespace(
        generation=generation or {}, languages=languages or {}, decoder=decoder, audio=audio
    )
    return SimpleNamespace(manifest=manifest)


def test_greedy_the_bundles_own_beams_and_n_best_lists() -> None:
    sets = SMALL.option_sets(bundle(generation={"num_beams": 7}))
    assert [options["num_beams"] for options in sets] == [1, 7, 5, 3]
    assert [options.get("num_return_sequences") for options in sets] == [None, None, 5, 2]
    assert {options["max_new_tokens"] for options in sets} == {40}
    assert all("forced_bos_token_id" not in options for options in sets)


def test_several_languages_and_no_more_tokens_than_positions() -> None:
    languages = {f"l{number}": 100 + number for number in range(12)}
    sets = SMALL.option_sets(bundle(languages=languages, max_positions=16))
    assert len({options["forced_bos_token_id"] for options in sets}) > 1
    assert {options["max_new_tokens"] for options in sets} == {16}
    assert sets[1]["num_beams"] == 1


@pytest.mark.parametrize(
    ("shortest_s", "longest_s", "expected"),
    [(0.025, 60, [1.4, 0.45, 2.7]), (2, 60, [2, 2, 2.7]), (0.025, 1, [1, 0.45, 1])],
)
def test_probes_are_as_long_as_the_bundle_takes_them(
    shortest_s: float, longest_s: float, expected: list[float]
) -> None:
    probes = SMALL.probes(bundle(min_samples=round(16000 * shortest_s), max_samples=round(16000 * longest_s)))
    assert [len(probe.samples) / 16000 for probe in probes] == expected
    assert [probe.name for probe in probes] == [
        f"probe-{number} ({duration:.2f} s)" for number, duration in enumerate(expected)
    ]
    assert all(probe.samples.dtype == np.float32 and np.abs(probe.samples).max() > 0.4 for probe in probes)


def test_a_large_model_is_decoded_less_but_still_greedily_and_in_beams() -> None:
    sets = LARGE.option_sets(bundle())
    assert [options["num_beams"] for options in sets] == [1, 5]
    assert {options["max_new_tokens"] for options in sets} == {20}
    assert len({len(probe.samples) for probe in LARGE.probes(bundle())}) == 2
