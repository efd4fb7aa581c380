"""The rules that need whole rows, each against transformers' logits processor."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as hf

from s2t_runtime.errors import OptionError
from s2t_runtime.search.rows import RowSource
from s2t_runtime.search.whole_row_rules import PrefixConstraint, SequenceBias, decayed
from s2t_runtime.sessions.protocol import Candidates

VOCAB, BATCH, BEAMS = 20, 2, 3
BIASES = (
    ((4,), 2.5), ((5, 6), -1.25), ((7, 8), 0.3), ((2, 3, 9), 4.0), ((5, 9), 0.1), ((3, 9), 0.7), ((9,), -0.2)
)  # fmt: skip
EVERY = np.ones((BATCH, BEAMS), dtype=np.bool_)


def case(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    histories = rng.integers(2, 10, size=(BATCH, BEAMS, length))
    scores = rng.normal(scale=3.0, size=(BATCH, BEAMS, VOCAB)).astype(np.float32)
    return histories, np.where(rng.random(scores.shape) < 0.2, np.float32(-np.inf), scores)


def theirs(processor: Any, histories: np.ndarray, scores: np.ndarray) -> np.ndarray:
    rows = torch.from_numpy(scores.copy()).reshape(BATCH * BEAMS, -1)
    processed = processor(torch.from_numpy(histories).reshape(BATCH * BEAMS, -1), rows)
    return processed.reshape(BATCH, BEAMS, -1).numpy()


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_sequence_bias(length: int, plan_of: Any) -> None:
    plan = plan_of(vocab_size=VOCAB, num_beams=BEAMS, sequence_bias=dict(BIASES))
    processor = hf.SequenceBiasLogitsProcessor([[list(ids), bias] for ids, bias in BIASES])
    rule, changed = SequenceBias(plan), 0
    for seed in range(20):
        histories, scores = case(seed, length)
        got = rule(histories, scores)
        np.testing.assert_array_equal(got, theirs(processor, histories, scores))
        changed += int((got - np.where(np.isneginf(scores), 0, scores) != 0).sum())
    assert changed > 20 * BATCH * BEAMS * 2 or length == 1


@pytest.mark.parametrize("factor", [1.3, 0.5, 1e30])
@pytest.mark.parametrize("length", [1, 4, 5, 6, 12])
def test_exponential_decay(length: int, factor: float, plan_of: Any) -> None:
    plan = plan_of(
        vocab_size=VOCAB, eos_token_id=(1, 6, 6), exponential_decay_length_penalty=(3, factor),
        decoder_prompt_ids=(0, 5),
    )  # fmt: skip
    processor = hf.ExponentialDecayLengthPenalty((3, factor), [1, 6, 6], 2)
    for seed in range(5):
        histories, scores = case(seed, length)
        got = decayed(scores, length, plan.decay, plan.eos_token_ids)
        np.testing.assert_array_equal(got, theirs(processor, histories, scores))
        assert (got != scores).any() == (length > 5)


def test_a_factor_beyond_all_numbers_makes_an_end_certain(plan_of: Any) -> None:
    # Where Python's pow overflows; transformers raises OverflowError.
    plan = plan_of(vocab_size=VOCAB, exponential_decay_length_penalty=(0, 1e200))
    got = decayed(np.full((1, 1, VOCAB), -2.0, dtype=np.float32), 5, plan.decay, (1,))
    assert got[0, 0, 1] == np.inf
    assert (np.delete(got, 1, axis=-1) == -2.0).all()


def allowed(utterance: int, tokens: Any) -> list[int]:
    return [(int(tokens[-1]) + step + utterance) % VOCAB for step in (1, 4, 4, 7)]


@pytest.mark.parametrize("beams", [1, BEAMS])
def test_prefix_constraint(beams: int, plan_of: Any) -> None:
    plan = plan_of(vocab_size=VOCAB, num_beams=beams, prefix_allowed_tokens_fn=allowed)
    rule, forced = PrefixConstraint(plan, allowed), 0
    for seed in range(60):
        histories, scores = case(seed, 3)
        if seed % 3 == 0:  # everything that is allowed in one utterance, or in one beam of it
            scores[0, 0 if seed % 2 else slice(None)] = -np.inf
        if beams == 1:
            histories, scores = histories[:, :1], scores[:, :1]
        processor = hf.PrefixConstrainedLogitsProcessor(allowed, beams)
        rows = torch.from_numpy(scores.copy()).reshape(BATCH * beams, -1)
        wanted = processor(torch.from_numpy(histories).reshape(BATCH * beams, -1), rows)
        got = rule(histories, scores, EVERY[:, :beams])
        np.testing.assert_array_equal(got, wanted.reshape(scores.shape).numpy())
        forced += bool((got[0] == 0).any())
    assert 5 < forced < 40


def test_the_function_is_asked_of_running_hypotheses_alone(plan_of: Any) -> None:
    asked: list[tuple[int, list[int]]] = []

    def function(utterance: int, tokens: Any) -> tuple[int, ...]:
        asked.append((utterance, tokens.tolist()))
        tokens[:] = 0  # its own copy
        return (np.int64(3), 4)

    rule = PrefixConstraint(plan_of(vocab_size=VOCAB, num_beams=1), function)
    histories = np.array([[[0, 5]], [[0, 6]]])
    scores = np.zeros((2, 1, VOCAB), dtype=np.float32)
    got = rule(histories, scores, np.array([[False], [True]]))
    assert asked == [(1, [0, 6])]
    assert np.flatnonzero(got[1, 0] == 0).tolist() == [3, 4]
    np.testing.assert_array_equal(got[0], scores[0])
    assert histories[1, 0].tolist() == [0, 6]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            [],
            "prefix_allowed_tokens_fn returned no token for utterance 0 after [0, 5], wanted at least one that "
            "may follow; return an end token to stop",
        ),
        (
            None,
            "prefix_allowed_tokens_fn returned None for utterance 0, wanted a list of token ids; return one",
        ),
        (
            ["x"],
            "prefix_allowed_tokens_fn returned ['x'] for utterance 0, wanted a list of token ids; return",
        ),
        (
            [20],
            "prefix_allowed_tokens_fn returned token 20 for utterance 0, wanted ids from 0 to 19; correct",
        ),
        (
            [-1],
            "prefix_allowed_tokens_fn returned token -1 for utterance 0, wanted ids from 0 to 19; correct",
        ),
    ],
)
def test_what_a_function_may_not_return(returned: Any, message: str, plan_of: Any) -> None:
    plan = plan_of(vocab_size=VOCAB, num_beams=1, prefix_allowed_tokens_fn=lambda *_: returned)
    scores = np.zeros((1, 1, VOCAB), dtype=np.float32)
    with pytest.raises(OptionError, match="^" + re.escape(message)):
        PrefixConstraint(plan, plan.prefix_allowed_tokens_fn)(
            np.array([[[0, 5]]]), scores, np.array([[True]])
        )


def rows_of(plan: Any, logits: np.ndarray, histories: np.ndarray) -> np.ndarray:
    """Whole rows [batch, beams, vocab] as the search sees them, -inf for what it is not shown."""

    def step(*_: Any, with_logits: bool = False) -> Candidates:
        assert with_logits
        return Candidates(np.empty(0, np.float32), np.empty(0, np.int64), logits)

    source = RowSource(step, plan, keep=VOCAB, max_candidates=1)
    active = np.ones(histories.shape[:2], dtype=np.bool_)
    rows = source.rows(histories[..., -1:], np.zeros(histories.shape[:2], np.int64), histories, active)
    whole = np.full(logits.shape, -np.inf, dtype=np.float32)
    np.put_along_axis(whole, rows.ids, rows.scores, axis=-1)
    return whole


def test_suppressed_tokens_count_behind_the_constraint(plan_of: Any) -> None:
    # All that is allowed is suppressed: the constraint is met, and then nothing is left.
    plan = plan_of(
        vocab_size=VOCAB, num_beams=1, prefix_allowed_tokens_fn=lambda *_: [3, 4], suppress_tokens=(3, 4)
    )
    assert np.isneginf(rows_of(plan, np.zeros((1, 1, VOCAB), np.float32), np.array([[[0, 5]]]))).all()
    # Bad words come before it: then the allowed tokens are forced.
    plan = plan_of(
        vocab_size=VOCAB, num_beams=1, prefix_allowed_tokens_fn=lambda *_: [3, 4], bad_words_ids=((3,), (4,))
    )
    whole = rows_of(plan, np.ones((1, 1, VOCAB), np.float32), np.array([[[0, 5]]]))
    assert np.flatnonzero(whole[0, 0] == 0).tolist() == [3, 4]
    assert (whole > -np.inf).sum() == 2


def test_renormalised_scores_are_log_probabilities(plan_of: Any) -> None:
    plan = plan_of(
        vocab_size=VOCAB, num_beams=BEAMS, renormalize_logits=True, suppress_tokens=(3, 5),
        sequence_bias=dict(BIASES),
    )  # fmt: skip
    histories, _ = case(1, 4)
    logits = np.random.default_rng(2).normal(size=(BATCH, BEAMS, VOCAB)).astype(np.float32)
    got = rows_of(plan, logits, histories)
    np.testing.assert_allclose(np.exp(got).sum(axis=-1), 1.0, rtol=1e-6)
    processors = hf.LogitsProcessorList(
        [
            hf.SequenceBiasLogitsProcessor([[list(ids), bias] for ids, bias in BIASES]),
            hf.SuppressTokensLogitsProcessor([3, 5]),
            hf.LogitNormalization(),
        ]
    )
    log_probs = torch.log_softmax(torch.from_numpy(logits), dim=-1).numpy()
    np.testing.assert_allclose(got, theirs(processors, histories, log_probs), rtol=1e-6, atol=1e-6)


def test_a_row_that_nothing_is_left_of_is_not_renormalised(plan_of: Any) -> None:
    plan = plan_of(
        vocab_size=VOCAB, num_beams=2, renormalize_logits=True, suppress_tokens=tuple(range(VOCAB))
    )
    logits = np.zeros((1, 1, VOCAB), dtype=np.float32)
    assert np.isneginf(rows_of(plan, logits, np.array([[[0, 5]]]))).all()
