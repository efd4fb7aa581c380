"""Each warper of sampling against transformers' own class, on random and on adversarial rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as hf

from s2t_runtime.options.sampling import Sampling
from s2t_runtime.search import warpers
from s2t_runtime.search.warpers import bounding_warpers, further_warpers

NONE = -np.inf
IDS = torch.zeros((1, 1), dtype=torch.long)

# Per option: a field of Sampling, its values, and transformers' class for a value.
OPTIONS: dict[str, tuple[tuple[Any, ...], Callable[[Any, int], Any]]] = {
    "temperature": ((0.05, 0.7, 1.9, 30.0), lambda value, _: hf.TemperatureLogitsWarper(value)),
    "top_h": ((0.05, 0.4, 0.9), lambda value, _: hf.TopHLogitsWarper(value)),
    "top_k": ((1, 3, 50), lambda value, keep: hf.TopKLogitsWarper(value, min_tokens_to_keep=keep)),
    "top_p": (
        (0.0, 0.3, 0.5, 0.9, 0.999),
        lambda value, keep: hf.TopPLogitsWarper(value, min_tokens_to_keep=keep),
    ),
    "min_p": ((0.02, 0.3, 1.0), lambda value, keep: hf.MinPLogitsWarper(value, min_tokens_to_keep=keep)),
    "typical_p": (
        (0.05, 0.5, 0.95),
        lambda value, keep: hf.TypicalLogitsWarper(value, min_tokens_to_keep=keep),
    ),
    "epsilon_cutoff": (
        (0.001, 0.05, 0.6),
        lambda value, keep: hf.EpsilonLogitsWarper(value, min_tokens_to_keep=keep),
    ),
    "eta_cutoff": ((0.002, 0.1, 0.7), lambda value, keep: hf.EtaLogitsWarper(value, min_tokens_to_keep=keep)),
}
CASES = [(name, value) for name, (values, _) in OPTIONS.items() for value in values]
KEEPS = (1, 2, 4)


def ours(name: str, value: Any, keep: int, rows: np.ndarray) -> np.ndarray:
    sampling = Sampling(**{name: value, "min_tokens_to_keep": keep})
    return further_warpers(bounding_warpers(rows[:, None], sampling), sampling)[:, 0]


def theirs(name: str, value: Any, keep: int, rows: np.ndarray) -> np.ndarray:
    scores = OPTIONS[name][1](value, keep)(IDS, torch.from_numpy(rows.copy()))
    return scores.numpy()


def random_rows(seed: int, vocab: int, scale: float, banned: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(scale=scale, size=(8, vocab)).astype(np.float32)
    return np.where(rng.random(rows.shape) < banned, np.float32(NONE), rows)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize(("name", "value"), CASES)
def test_random_rows(name: str, value: Any, keep: int) -> None:
    removed = 0
    for seed, (vocab, scale, banned) in enumerate(
        [(7, 1.0, 0.0), (130, 3.0, 0.0), (130, 3.0, 0.7), (500, 0.3, 0.1), (2000, 8.0, 0.0)]
    ):
        rows = random_rows(seed, vocab, scale, banned)
        wanted, got = theirs(name, value, keep, rows), ours(name, value, keep, rows)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, wanted)  # not a bit differs
        removed += int((np.isneginf(got) & ~np.isneginf(rows)).sum())
    assert removed > 0 or name == "temperature"


ADVERSARIAL = {
    "all equal": [[0.5] * 9],
    "sums that meet the limit exactly": [[0.5] * 8],
    "sums that meet the limit but for rounding": [[0.5] * 10],
    "more such sums": [[0.5] * 20],
    "one token left": [[NONE] * 4 + [1.5] + [NONE] * 4],
    "one token left, last": [[NONE] * 8 + [-3.0]],
    "two equal tokens left": [[NONE, 2.0, NONE, NONE, 2.0, NONE]],
    "ties at every place": [[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, -1.0, -1.0, 0.0, 1.0]],
    "greatest and least numbers": [[3e38, -3e38, 0.0, 1.0, NONE]],
    "far apart": [[0.0, -200.0, -1e5, -1e30, NONE, -90.0]],
    "zeros of both signs": [[0.0, -0.0, 0.0, -0.0]],
    "smallest numbers": [[1e-45, -1e-45, 0.0, 1e-38]],
    "near equals": [[1.0, 1.0 + 1.2e-7, 1.0 - 6e-8, 1.0 + 2.4e-7, 0.5]],
    "one token": [[3.0]],
}


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize(("name", "value"), CASES)
@pytest.mark.parametrize("rows", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_adversarial_rows(rows: list[list[float]], name: str, value: Any, keep: int) -> None:
    scores = np.array(rows, dtype=np.float32)
    wanted, got = theirs(name, value, keep, scores), ours(name, value, keep, scores)
    if name == "min_p":  # by probabilities, among which far lower ones are all 0
        got, wanted = (
            np.exp(kept.astype(np.float64) - scores.max()).astype(np.float32) for kept in (got, wanted)
        )
        assert (got > 0).sum() == (wanted > 0).sum()
    if name == "top_h" and len(rows[0]) in {10, 20}:
        # Its limit is an entropy, whose last bit depends on the order in which torch's vector code adds.
        assert abs(int((got > NONE).sum()) - int((wanted > NONE).sum())) <= 1
        return
    # Which of equals stays is open in torch; how many of each score do is not.
    np.testing.assert_array_equal(np.sort(got), np.sort(wanted))
    if len(set(scores[0].tolist())) == scores.size:
        np.testing.assert_array_equal(got, wanted)


def test_of_equals_at_a_limit_the_lower_ids_stay() -> None:
    row = np.array([[1.0, 2.0, 1.0, 1.0, 2.0, 1.0]], dtype=np.float32)

    def kept(scores: np.ndarray) -> list[int]:
        return np.flatnonzero(scores[0] > NONE).tolist()

    assert kept(warpers.top_p(row, 0.65, 1)) == [0, 1, 4]
    assert kept(warpers.top_p(row, 0.0, 3)) == [0, 1, 4]
    assert kept(warpers.min_p(row, 0.9, 3)) == [0, 1, 4]
    # Top-k keeps all that equal its last, as transformers does.
    assert kept(warpers.top_k(row, 3)) == [0, 1, 2, 3, 4, 5]
    wide = np.zeros((1, 150), dtype=np.float32)
    assert kept(warpers.top_h(wide, 0.505)) == list(range(50))


def test_a_row_without_any_token_stays_so_and_says_nothing() -> None:
    row = np.full((1, 6), NONE, dtype=np.float32)
    for name, value in CASES:
        assert np.isneginf(ours(name, value, 2, row)).all(), name


def test_all_at_once_in_transformers_order() -> None:
    sampling = Sampling(
        temperature=1.4, top_h=0.95, top_k=40, top_p=0.9, min_p=0.03, typical_p=0.93, epsilon_cutoff=0.012,
        eta_cutoff=0.02, min_tokens_to_keep=2,
    )  # fmt: skip
    order = ("temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
    for seed in range(6):
        rows = random_rows(seed, 300, 2.0, 0.2)
        wanted = torch.from_numpy(rows.copy())
        for name in order:
            wanted = OPTIONS[name][1](getattr(sampling, name), 2)(IDS, wanted)
        got = further_warpers(bounding_warpers(rows, sampling), sampling)
        np.testing.assert_array_equal(got, wanted.numpy())


def test_the_order_is_seen() -> None:
    # Top-p of what top-k left is more than of the whole row; temperature moves both.
    rows = random_rows(3, 300, 0.5)
    sampling = Sampling(top_k=10, top_p=0.5, temperature=3.0)
    both = further_warpers(bounding_warpers(rows, sampling), sampling)
    late = dataclasses.replace(sampling, top_p=1.0, temperature=1.0)
    reversed_order = bounding_warpers(warpers.top_p(rows, 0.5, 1), late)
    assert (both > NONE).sum() != (reversed_order > NONE).sum()


def test_every_option_has_a_case() -> None:
    fields = {field.name for field in dataclasses.fields(Sampling)}
    assert set(OPTIONS) == fields - {"min_tokens_to_keep", "seed"}
