"""Each rule against transformers' logits processor, on whole and on sparse rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as hf

from s2t_runtime.search.rows import best_of_rows
from s2t_runtime.search.rules import (
    RULES,
    Reach,
    Rules,
    StepRules,
    completed_words,
    needs_whole_rows,
    repeated_ngrams,
)

VOCAB, BATCH, BEAMS = 20, 2, 3
WORDS = ((4,), (1,), (5, 6), (7, 8), (2, 3, 9), (5, 9))


def _case(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Histories with many repetitions and log-probabilities."""
    rng = np.random.default_rng(seed)
    histories = rng.integers(2, 10, size=(BATCH, BEAMS, length))
    logits = torch.from_numpy(rng.normal(scale=2.0, size=(BATCH, BEAMS, VOCAB)).astype(np.float32))
    return histories, torch.log_softmax(logits, dim=-1).numpy()


def _theirs(processors: list[Any], histories: np.ndarray, scores: np.ndarray) -> np.ndarray:
    rows = torch.from_numpy(scores.copy()).reshape(BATCH * BEAMS, -1)
    for processor in processors:
        rows = processor(torch.from_numpy(histories).reshape(BATCH * BEAMS, -1), rows)
    return rows.reshape(BATCH, BEAMS, -1).numpy()


def _processors(plan: Any) -> list[Any]:
    """What ``_get_logits_processor`` builds for the plan, in its order."""
    eos = torch.tensor(plan.eos_token_ids)
    found: list[Any] = []
    if plan.repetition_penalty != 1.0:
        found.append(hf.RepetitionPenaltyLogitsProcessor(plan.repetition_penalty))
    if plan.no_repeat_ngram_size:
        found.append(hf.NoRepeatNGramLogitsProcessor(plan.no_repeat_ngram_size))
    if plan.bad_words_ids:
        found.append(hf.NoBadWordsLogitsProcessor([list(word) for word in plan.bad_words_ids], eos))
    if plan.min_length:
        found.append(hf.MinLengthLogitsProcessor(plan.min_length, eos))
    if plan.min_new_tokens:
        found.append(hf.MinNewTokensLengthLogitsProcessor(len(plan.prompt), plan.min_new_tokens, eos))
    if plan.forced_bos_token_id is not None:
        found.append(hf.ForcedBOSTokenLogitsProcessor(plan.forced_bos_token_id))
    if plan.forced_eos_token_ids:
        found.append(hf.ForcedEOSTokenLogitsProcessor(plan.max_length, list(plan.forced_eos_token_ids)))
    if plan.suppress_tokens:
        found.append(hf.SuppressTokensLogitsProcessor(plan.suppress_tokens))
    if plan.begin_suppress_tokens:
        found.append(hf.SuppressTokensAtBeginLogitsProcessor(plan.begin_suppress_tokens, plan.begin_index))
    return found


OPTION_SETS: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"bad_words_ids": WORDS},
    {"min_length": 4},
    {"min_new_tokens": 3, "eos_token_id": (1, 6)},
    {"suppress_tokens": (3, 5)},
    {"begin_suppress_tokens": (3, 5)},
    {"begin_suppress_tokens": (3, 5), "forced_bos_token_id": 7},
    {"forced_bos_token_id": 7},
    {"forced_eos_token_id": (1, 6), "suppress_tokens": (6,)},
    {
        "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "bad_words_ids": WORDS, "min_new_tokens": 3,
        "suppress_tokens": (3, 5), "forced_eos_token_id": 1, "begin_suppress_tokens": (8,),
    },
]  # fmt: skip


def _as_whole_rows(rules: StepRules, scores: np.ndarray) -> np.ndarray:
    ids = np.broadcast_to(np.arange(VOCAB), scores.shape)
    if not rules.forced:
        return rules.apply(ids, scores)
    ids, replaced = rules.replaced((BATCH, BEAMS), 1, np.arange(VOCAB))
    whole = np.full(scores.shape, -np.inf, dtype=np.float32)
    np.put_along_axis(whole, ids, replaced, axis=-1)
    return whole


@pytest.mark.parametrize("options", OPTION_SETS, ids=lambda options: "+".join(options) or "none")
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9])
def test_whole_rows_are_those_of_transformers(options: dict[str, Any], length: int, plan_of: Any) -> None:
    plan = plan_of(vocab_size=VOCAB, num_beams=BEAMS, max_new_tokens=9, **options)
    for seed in range(5):
        histories, scores = _case(seed, length)
        ours = _as_whole_rows(Rules(plan).at(histories), scores)
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, _theirs(_processors(plan), histories, scores))


@pytest.mark.parametrize("options", OPTION_SETS, ids=lambda options: "+".join(options) or "none")
@pytest.mark.parametrize("length", [1, 3, 8])
def test_candidates_hold_the_best_of_the_whole_row(
    options: dict[str, Any], length: int, plan_of: Any
) -> None:
    plan = plan_of(vocab_size=VOCAB, num_beams=BEAMS, max_new_tokens=9, **options)
    keep = 4
    for seed in range(5):
        histories, scores = _case(seed, length)
        rules = Rules(plan).at(histories)
        if rules.forced or needs_whole_rows(plan):
            continue
        n = min(keep + rules.lowered(), VOCAB)
        ids = np.argsort(-scores, axis=-1)[..., :n]
        sparse = np.sort(rules.apply(ids, np.take_along_axis(scores, ids, axis=-1)), axis=-1)[..., ::-1]
        whole = np.sort(_theirs(_processors(plan), histories, scores), axis=-1)[..., ::-1]
        np.testing.assert_array_equal(sparse[..., :keep], whole[..., :keep])


def test_a_table_replaces_the_comparison_where_rows_are_long(plan_of: Any) -> None:
    plan = plan_of(vocab_size=4000, num_beams=BEAMS, max_new_tokens=20, repetition_penalty=1.5)
    rng = np.random.default_rng(0)
    histories = rng.integers(0, 4000, size=(BATCH, BEAMS, 10))
    scores = -rng.random((BATCH, BEAMS, 4000), dtype=np.float32)
    ids = np.broadcast_to(np.arange(4000), scores.shape)
    ours = Rules(plan).at(histories).apply(ids, scores)
    np.testing.assert_array_equal(ours, _theirs(_processors(plan), histories, scores))


@pytest.mark.parametrize(
    ("beams", "options", "expected"),
    [
        (1, {}, {}),
        (3, {"repetition_penalty": 1.2}, {"repetition_penalty": Reach.LOWERS}),
        (3, {"repetition_penalty": 0.9}, {"repetition_penalty": Reach.WHOLE_ROW}),
        (1, {"repetition_penalty": 1.2}, {"repetition_penalty": Reach.WHOLE_ROW}),
        (3, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": Reach.LOWERS}),
        (3, {"bad_words_ids": ((4,),)}, {"bad_words_ids": Reach.LOWERS}),
        (3, {"min_length": 4}, {"min_length": Reach.LOWERS}),
        (3, {"min_new_tokens": 4}, {"min_length": Reach.LOWERS, "min_new_tokens": Reach.LOWERS}),
        (3, {"min_length": 4, "eos_token_id": ()}, {}),
        (3, {"forced_bos_token_id": 4}, {"forced_bos_token_id": Reach.REPLACES}),
        (3, {"forced_eos_token_id": 4}, {"forced_eos_token_ids": Reach.REPLACES}),
        (3, {"suppress_tokens": (4,)}, {"suppress_tokens": Reach.LOWERS}),
        (3, {"begin_suppress_tokens": (4,)}, {"begin_suppress_tokens": Reach.LOWERS}),
        (3, {"sequence_bias": {(4,): -1.0}}, {"sequence_bias": Reach.WHOLE_ROW}),
        (1, {"exponential_decay_length_penalty": (4, 0.5)}, {"decay": Reach.WHOLE_ROW}),
        (3, {"prefix_allowed_tokens_fn": print}, {"prefix_allowed_tokens_fn": Reach.WHOLE_ROW}),
        (3, {"renormalize_logits": True}, {"renormalize_logits": Reach.WHOLE_ROW}),
        (3, {"renormalize_logits": False}, {}),
        (1, {"do_sample": True}, {"sampling": Reach.WHOLE_ROW}),
        (3, {"do_sample": True, "top_k": 1}, {"sampling": Reach.WHOLE_ROW}),
        (3, {"do_sample": False}, {}),
    ],
)
def test_the_table(beams: int, options: dict[str, Any], expected: dict[str, Reach], plan_of: Any) -> None:
    plan = plan_of(vocab_size=VOCAB, num_beams=beams, max_new_tokens=9, **options)
    reaches = {name: reach(plan) for name, reach in RULES.items()}
    assert {name: reach for name, reach in reaches.items() if reach is not Reach.OFF} == expected
    assert needs_whole_rows(plan) == (Reach.WHOLE_ROW in expected.values())


def test_every_rule_of_the_plan_is_in_the_table(plan_of: Any) -> None:
    plan = {field.name for field in dataclasses.fields(plan_of())}
    assert set(RULES) <= plan
    lengths_and_widths = {
        "prompt", "num_beams", "num_return_sequences", "max_length", "length_penalty", "early_stopping",
        "eos_token_ids", "pad_token_id", "begin_index", "vocab_size", "output_ids", "language", "joins_prompt",
    }  # fmt: skip
    assert plan - set(RULES) == lengths_and_widths


def test_lowered_counts_distinct_tokens_of_the_fullest_beam(plan_of: Any) -> None:
    plan = plan_of(
        vocab_size=VOCAB, num_beams=2, repetition_penalty=1.5, no_repeat_ngram_size=2, suppress_tokens=(5, 9)
    )
    histories = np.array([[[5, 6, 5, 6], [2, 3, 4, 2]]])
    # The first beam repeats 5 and 6, of which 5 is suppressed already; the second 2, 3 and 4.
    assert Rules(plan).at(histories).lowered() == 2 + 3


def test_repeated_ngrams_and_completed_words_by_hand() -> None:
    histories = np.array([[[4, 5, 4, 6, 4]]])
    assert repeated_ngrams(histories, 2).tolist() == [[[5, -1, 6, -1]]]
    assert repeated_ngrams(histories, 6).shape == (1, 1, 0)
    assert completed_words(histories, ((4, 9), (6, 4, 8), (5, 4, 7))).tolist() == [[[9, 8, -1]]]
    assert completed_words(histories, ((1, 4, 5, 4, 6, 4, 9),)).shape == (1, 1, 0)


def test_best_of_rows_takes_the_lower_id_among_equals() -> None:
    scores = np.array([[[0.0, 2.0, 1.0, 1.0, 1.0], [-np.inf] * 5]], dtype=np.float32)
    assert best_of_rows(scores, 3).tolist() == [[[1, 2, 3], [0, 1, 2]]]
