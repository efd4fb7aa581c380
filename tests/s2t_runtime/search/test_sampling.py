"""Sampling on scripted step functions: distributions, seeds, batches, scores and refusals."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from s2t_runtime.errors import OptionError
from s2t_runtime.search import sampling
from s2t_runtime.search.beam_search import BeamSearch
from s2t_runtime.search.rows import Rows, possible_of_rows
from s2t_runtime.search.search import SearchResult, search

EOS = 1
SHARES = (0.30, 0.02, 0.18, 0.05, 0.20, 0.10, 0.0, 0.15)
# With 7 and 11 degrees of freedom a fair draw exceeds these once in ten thousand times.
LIMIT_7, LIMIT_11 = 29.9, 37.4


def log_of(shares: Sequence[float]) -> list[float]:
    return [math.log(share) if share else -math.inf for share in shares]


def surprise(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Pearson's chi-square; impossible outcomes that were seen make it infinite."""
    expected = np.array(shares) * sum(counts)
    seen = np.array(counts)
    if (seen[expected == 0] > 0).any():
        return math.inf
    possible = expected > 0
    return float(((seen - expected)[possible] ** 2 / expected[possible]).sum())


def tokens_of(result: SearchResult, utterance: int = 0) -> list[tuple[int, ...]]:
    return [hypothesis.tokens for hypothesis in result.hypotheses[utterance]]


def first_tokens(scripted: Any, plan_of: Any, shares: Sequence[float] = SHARES, **options: Any) -> list[int]:
    plan = plan_of(
        do_sample=True, seed=5, num_return_sequences=4000, max_new_tokens=1, **{"top_k": 0, **options}
    )
    result = search(scripted(lambda *_: log_of(shares)), plan, 1, max_candidates=8)
    return np.bincount([tokens[1] for tokens in tokens_of(result)], minlength=8).tolist()


def test_tokens_are_drawn_by_their_probability(scripted: Any, plan_of: Any) -> None:
    counts = first_tokens(scripted, plan_of)
    assert sum(counts) == 4000
    assert surprise(counts, SHARES) < LIMIT_7


def test_the_test_of_the_distribution_bites(scripted: Any, plan_of: Any) -> None:
    wrong = np.array(SHARES) + np.array((-0.05, 0, 0.05, 0, 0, 0, 0, 0))
    assert surprise(first_tokens(scripted, plan_of, wrong.tolist()), SHARES) > LIMIT_7
    assert surprise(first_tokens(scripted, plan_of, temperature=1.2), SHARES) > LIMIT_7
    assert surprise(first_tokens(scripted, plan_of, top_k=5), SHARES) > LIMIT_7


def test_the_warpers_shape_the_distribution(scripted: Any, plan_of: Any) -> None:
    squared = np.array(SHARES) ** 2
    assert surprise(first_tokens(scripted, plan_of, temperature=0.5), squared / squared.sum()) < LIMIT_7
    best = np.where(np.array(SHARES) >= 0.15, SHARES, 0)
    assert surprise(first_tokens(scripted, plan_of, top_k=4), best / best.sum()) < LIMIT_7
    assert surprise(first_tokens(scripted, plan_of, top_p=0.8), best / best.sum()) < LIMIT_7


def test_a_second_step_follows_each_sequence_on_its_own(scripted: Any, plan_of: Any) -> None:
    # The second token is certain, and another one behind each first token.
    def script(_: int, history: tuple[int, ...]) -> list[float]:
        if len(history) == 1:
            return log_of((0, 0, 0.25, 0.25, 0.25, 0.25, 0, 0))
        return [0.0 if token == (history[-1] + 1) % 8 else -math.inf for token in range(8)]

    step = scripted(script, normalise=False)
    plan = plan_of(do_sample=True, seed=3, num_return_sequences=40, max_new_tokens=4, eos_token_id=())
    found = tokens_of(search(step, plan, 2, max_candidates=8), 1)
    assert {tokens[1] for tokens in found} == {2, 3, 4, 5}
    for tokens in found:
        assert all(after == (before + 1) % 8 for before, after in itertools.pairwise(tokens[1:]))
    # One row per utterance at first, and the prompt is fed once for all sequences.
    assert step.calls[0].beam_index.shape == (2, 1)
    assert step.calls[1].beam_index.tolist() == [[0] * 40, [1] * 40]
    assert step.calls[2].beam_index.tolist() == np.arange(80).reshape(2, 40).tolist()


def random_script(seed: int, vocab: int = 8) -> Callable[..., list[float]]:
    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        return np.random.default_rng((seed, utterance, *history)).normal(size=vocab).tolist()

    return script


@pytest.mark.parametrize("beams", [1, 3])
def test_a_seed_gives_the_same_alone_in_batches_and_from_threads(
    scripted: Any, plan_of: Any, beams: int
) -> None:
    plan = plan_of(do_sample=True, seed=9, num_beams=beams, num_return_sequences=3, max_new_tokens=9, top_k=4)
    together = search(scripted(random_script(1)), plan, 4, max_candidates=8).hypotheses

    def alone(utterance: int) -> Any:
        step = scripted(lambda _, history: random_script(1)(utterance, history))
        return search(step, plan, 1, max_candidates=8).hypotheses[0]

    assert [alone(utterance) for utterance in range(4)] == list(together)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(alone, range(4))) == list(together)


@pytest.mark.parametrize("beams", [1, 3])
def test_seeds_differ_and_none_is_fresh(scripted: Any, plan_of: Any, beams: int) -> None:
    def found(seed: int | None, batch: int = 1) -> list[list[tuple[int, ...]]]:
        plan = plan_of(
            do_sample=True, seed=seed, num_beams=beams, max_new_tokens=20, eos_token_id=(), top_k=0
        )
        result = search(scripted(lambda *_: [0.0] * 8), plan, batch, max_candidates=8)
        return [tokens_of(result, utterance) for utterance in range(batch)]

    assert found(1) == found(1)
    assert found(1) != found(2)
    assert found(None) != found(None)
    # A seed gives equal utterances equal answers, without one each draws its own.
    first, second = found(1, 2)
    assert first == second
    first, second = found(None, 2)
    assert first != second


def test_the_first_sequences_do_not_depend_on_how_many_there_are(scripted: Any, plan_of: Any) -> None:
    def found(count: int) -> list[tuple[int, ...]]:
        plan = plan_of(do_sample=True, seed=4, num_return_sequences=count, max_new_tokens=6)
        return tokens_of(search(scripted(random_script(2)), plan, 1, max_candidates=8))

    assert found(5)[:2] == found(2)
    assert len(set(found(5))) > 1


def test_log_probs_are_those_drawn_with_and_the_score_is_of_raw_logits(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(
        do_sample=True, seed=1, max_new_tokens=3, min_new_tokens=3, temperature=0.5, top_k=3, length_penalty=2.0,
        forced_bos_token_id=4,
    )  # fmt: skip
    result = search(scripted(lambda *_: log_of(SHARES)), plan, 1, max_candidates=8).hypotheses[0][0]
    _, forced, *drawn = result.tokens
    assert forced == 4
    squares = {token: SHARES[token] ** 2 for token in (0, 2, 4)}
    expected = [0.0, *(math.log(squares[token] / sum(squares.values())) for token in drawn)]
    assert result.log_probs == pytest.approx(expected, abs=1e-5)
    assert result.score == pytest.approx(sum(math.log(SHARES[token]) for token in drawn) / 9, abs=1e-5)


def test_a_sequence_ends_with_its_first_end_token(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(do_sample=True, seed=2, num_return_sequences=30, max_new_tokens=8)
    found = tokens_of(search(scripted(random_script(3)), plan, 1, max_candidates=8))
    assert all(EOS not in tokens[1:-1] for tokens in found)
    assert all(tokens[-1] == EOS or len(tokens) == 9 for tokens in found)
    assert len({len(tokens) for tokens in found}) > 2


def test_stop_ends_every_sequence_where_it_is(scripted: Any, plan_of: Any) -> None:
    step = scripted(random_script(3))
    plan = plan_of(do_sample=True, seed=2, num_return_sequences=30, max_new_tokens=8)
    whole = tokens_of(search(scripted(random_script(3)), plan, 1, max_candidates=8))
    result = search(step, plan, 1, max_candidates=8, stop=lambda: len(step.calls) == 3)
    assert result.stopped
    assert tokens_of(result) == [tokens[:4] for tokens in whole]


class Fixed:
    """A generator whose every number is the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize(("value", "token"), [(0.0, 2), (0.25 - 1e-9, 2), (0.25, 4), (1 - 2**-53, 5)])
def test_the_ends_of_the_unit_interval(value: float, token: int) -> None:
    sampler = sampling.Sampler(None, 1, 1)
    sampler._generators = [[Fixed(value)]]  # type: ignore[list-item]
    scores = np.array([[log_of((0, 0, 0.25, 0, 0.25, 0.5, 0, 0))]], dtype=np.float32)
    rows = Rows(np.arange(8)[None, None], scores, scores)
    assert sampler(rows, np.array([[True]])).tokens.tolist() == [[token]]


def test_the_number_one_draws_the_last_token_there_is() -> None:
    # A product of 1 - 2 ** -53 and the total may round to the total.
    sampler = sampling.Sampler(None, 1, 1)
    sampler._generators = [[Fixed(1.0)]]  # type: ignore[list-item]
    scores = np.array([[[0.0, 0.5, 0.25, -np.inf, -np.inf]]], dtype=np.float32)
    rows = Rows(np.arange(5)[None, None], scores, scores)
    assert sampler(rows, np.array([[True]])).tokens.tolist() == [[2]]


def test_pairs_are_drawn_without_replacement(plan_of: Any) -> None:
    shares = np.array((0.4, 0.3, 0.2, 0.1))
    pairs = {(i, j): shares[i] * shares[j] / (1 - shares[i]) for i in range(4) for j in range(4) if i != j}
    count = 4000
    plan = plan_of(vocab_size=8, do_sample=True, num_beams=2, seed=0)

    def unused(*_: Any, **__: Any) -> Any:
        raise AssertionError

    searching = BeamSearch(unused, plan, count, max_candidates=8)
    searching._generators = [np.random.default_rng((1, row)) for row in range(count)]
    scores = np.full((count, 16), -np.inf, dtype=np.float32)
    scores[:, [3, 5, 9, 14]] = np.log(shares)
    places = np.tile(np.arange(16), (count, 1))
    order = searching._draw(scores, places)
    assert order.shape == (count, 4)
    names = {3: 0, 5: 1, 9: 2, 14: 3}
    drawn = [(names[first], names[second]) for first, second, *_ in order.tolist()]
    seen = [drawn.count(pair) for pair in pairs]
    assert surprise(seen, list(pairs.values())) < LIMIT_11
    wrong = [shares[i] * shares[j] / (1 - shares @ shares) for i, j in pairs]
    assert surprise(seen, wrong) > LIMIT_11


def test_possible_tokens_of_rows() -> None:
    scores = np.full((1, 2, 12), -np.inf, dtype=np.float32)
    scores[0, 0, [7, 3]] = 1.0
    scores[0, 1, [0, 9, 2]] = 1.0
    assert possible_of_rows(scores, 1).tolist() == [[[3, 7, 0], [0, 2, 9]]]  # type: ignore[union-attr]
    assert possible_of_rows(scores, 5).tolist() == [[[3, 7, 0, 1, 2], [0, 2, 9, 1, 3]]]  # type: ignore[union-attr]
    assert possible_of_rows(scores, 7) is None  # no use: more than half of them


@pytest.mark.parametrize("beams", [1, 2])
def test_nothing_left_to_draw_is_refused(scripted: Any, plan_of: Any, beams: int) -> None:
    plan = plan_of(do_sample=True, num_beams=beams, max_new_tokens=3, suppress_tokens=tuple(range(8)))
    message = (
        "the rules leave no token to draw for utterance 0, wanted one at least; loosen suppress_tokens, "
        "bad_words_ids, no_repeat_ngram_size or prefix_allowed_tokens_fn"
    )
    with pytest.raises(OptionError, match="^" + re.escape(message) + "$"):
        search(scripted(lambda *_: [0.0] * 8), plan, 1, max_candidates=8)


def test_scores_beyond_single_precision_are_refused(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(do_sample=True, num_beams=1, max_new_tokens=3, temperature=1e-37)
    message = (
        "the scores of utterance 0 are not finite (inf), wanted finite ones to draw from; raise temperature"
    )
    with pytest.raises(OptionError, match="^" + re.escape(message)):
        search(scripted(lambda *_: [50.0] + [-math.inf] * 7, normalise=False), plan, 1, max_candidates=8)


def test_a_temperature_below_which_beam_search_finds_nothing_is_refused(scripted: Any, plan_of: Any) -> None:
    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        return [0.0, -0.5, *[-1.0] * 6] if utterance else [9.0, *[-math.inf] * 7]  # the first one is certain

    def found(temperature: float) -> Any:
        plan = plan_of(do_sample=True, num_beams=2, max_new_tokens=3, temperature=temperature, seed=1)
        return search(scripted(script), plan, 2, max_candidates=8).hypotheses[1][0]

    assert len(found(1e-8).tokens) > 1
    message = (
        "temperature 1e-10 divides the scores of utterance 1 to below -1e+09, where beam search holds them for "
        "impossible, wanted higher scores; raise temperature, or leave do_sample out"
    )
    with pytest.raises(OptionError, match="^" + re.escape(message) + "$"):
        found(1e-10)


@pytest.mark.filterwarnings("ignore:invalid value")  # no model gives such logits
def test_a_sequence_that_ended_needs_no_token(scripted: Any, plan_of: Any) -> None:
    # The first one ends at once; behind the end nothing can follow, while the other goes on.
    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        if EOS in history:
            return [-math.inf] * 8
        return [0.0 if token == (EOS if utterance == 0 else 5) else -math.inf for token in range(8)]

    plan = plan_of(do_sample=True, max_new_tokens=3, top_p=0.9, typical_p=0.9, eta_cutoff=0.1, min_p=0.1)
    result = search(scripted(script, normalise=False), plan, 2, max_candidates=8)
    assert [tokens_of(result, 0), tokens_of(result, 1)] == [[(0, EOS)], [(0, 5, 5, 5)]]
