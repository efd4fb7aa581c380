"""Beam search semantics on scripted step functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from s2t_runtime.search.search import SearchResult, search

EOS = 1
A, B, C = 2, 3, 4


def script_of(table: dict[tuple[int, ...], dict[int, float]], vocab: int = 8) -> Callable[..., list[float]]:
    """Log-probabilities from probabilities by tokens after the start; what is left is spread evenly."""

    def script(_utterance: int, history: tuple[int, ...]) -> list[float]:
        given = table.get(history[1:], {})
        rest = (1.0 - sum(given.values())) / (vocab - len(given))
        return [math.log(max(given.get(token, rest), 1e-30)) for token in range(vocab)]

    return script


def random_script(seed: int, vocab: int = 8) -> Callable[..., list[float]]:
    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        return np.random.default_rng((seed, utterance, *history)).normal(scale=1.5, size=vocab).tolist()

    return script


# After A the greedy continuation C leads to the certain end.
FORK = {(): {EOS: 0.45, A: 0.4, B: 0.1}, (A,): {EOS: 0.45, C: 0.5}, (B,): {EOS: 0.9}, (A, C): {EOS: 0.99}}
NARROW = {**FORK, (A,): {EOS: 0.5, C: 0.45}}


def best(result: SearchResult, utterance: int = 0) -> tuple[int, ...]:
    return result.hypotheses[utterance][0].tokens[1:]


def test_early_stopping_true_stops_at_num_beams_finished(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(num_beams=2, num_return_sequences=2, max_new_tokens=6, early_stopping=True)
    result = search(scripted(script_of(FORK)), plan, 1, max_candidates=100)
    assert result.steps == 2
    assert [h.tokens[1:] for h in result.hypotheses[0]] == [(EOS,), (A, EOS)]
    assert result.hypotheses[0][0].score == pytest.approx(math.log(0.45))
    assert result.hypotheses[0][1].score == pytest.approx(math.log(0.4 * 0.45) / 2)
    assert not result.stopped


def test_early_stopping_false_goes_on_while_the_present_length_may_win(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(num_beams=2, max_new_tokens=6, early_stopping=False)
    result = search(scripted(script_of(FORK)), plan, 1, max_candidates=100)
    assert best(result) == (A, C, EOS)
    assert result.steps == 3
    narrow = search(scripted(script_of(NARROW)), plan, 1, max_candidates=100)
    assert narrow.steps == 2
    assert best(narrow) == (EOS,)


def test_early_stopping_never_goes_on_while_the_longest_may_win(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(num_beams=2, max_new_tokens=6, early_stopping="never")
    result = search(scripted(script_of(NARROW)), plan, 1, max_candidates=100)
    assert best(result) == (A, C, EOS)
    assert result.steps > 2
    # A negative length penalty prefers short ones, so the present length decides as with False.
    short = plan_of(num_beams=2, max_new_tokens=6, early_stopping="never", length_penalty=-1.0)
    assert search(scripted(script_of(NARROW)), short, 1, max_candidates=100).steps == 2


def test_running_beams_finish_at_the_maximum_length(scripted: Any, plan_of: Any) -> None:
    step = scripted(script_of({(): {A: 0.6, B: 0.3}}))
    plan = plan_of(num_beams=2, num_return_sequences=2, max_new_tokens=1)
    result = search(step, plan, 1, max_candidates=100)
    assert [h.tokens for h in result.hypotheses[0]] == [(0, A), (0, B)]
    assert result.steps == len(step.calls) == 1


def test_scores_are_log_probs_over_the_length(scripted: Any, plan_of: Any) -> None:
    for penalty in (-1.0, 0.0, 0.7, 2.0):
        plan = plan_of(num_beams=3, num_return_sequences=3, max_new_tokens=5, length_penalty=penalty)
        for hypothesis in search(scripted(random_script(3)), plan, 1, max_candidates=100).hypotheses[0]:
            new = len(hypothesis.tokens) - 1
            assert len(hypothesis.log_probs) == new
            assert hypothesis.score == pytest.approx(sum(hypothesis.log_probs) / new**penalty, rel=1e-5)


def test_n_best_is_sorted_and_distinct(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(num_beams=5, num_return_sequences=4, max_new_tokens=6)
    ranked = search(scripted(random_script(5)), plan, 1, max_candidates=100).hypotheses[0]
    assert len(ranked) == 4
    assert [h.score for h in ranked] == sorted((h.score for h in ranked), reverse=True)
    assert len({h.tokens for h in ranked}) == 4


def test_equal_scores_take_the_lower_beam_then_the_lower_token(scripted: Any, plan_of: Any) -> None:
    step = scripted(script_of({}))
    plan = plan_of(num_beams=2, num_return_sequences=2, max_new_tokens=3, early_stopping="never")
    search(step, plan, 1, max_candidates=100)
    # Tokens 0 and 2 go on (1 is the end), then both continuations come from the lower beam.
    assert step.histories == [[(0, 0, 0), (0, 0, 2)]]


def test_several_end_tokens(scripted: Any, plan_of: Any) -> None:
    step = scripted(script_of({(): {5: 0.5, A: 0.4}, (A,): {6: 0.9}}))
    plan = plan_of(num_beams=2, num_return_sequences=2, max_new_tokens=6, eos_token_id=(5, 6))
    result = search(step, plan, 1, max_candidates=100)
    assert {h.tokens[1:] for h in result.hypotheses[0]} == {(5,), (A, 6)}
    assert step.calls[0].candidates == 6  # one more than the end tokens, per beam


def test_no_end_token_runs_to_the_maximum_length(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(num_beams=2, num_return_sequences=2, max_new_tokens=4, eos_token_id=())
    result = search(scripted(script_of({})), plan, 1, max_candidates=100)
    assert all(len(h.tokens) == 5 for h in result.hypotheses[0])


def test_beam_index_follows_one_row_then_flat_rows(scripted: Any, plan_of: Any) -> None:
    step = scripted(random_script(1))
    plan = plan_of(num_beams=3, max_new_tokens=4, min_new_tokens=4, decoder_prompt_ids=(0, 7))
    search(step, plan, 2, max_candidates=100)
    assert [call.new for call in step.calls] == [2, 1, 1, 1]
    assert step.calls[0].beam_index.tolist() == [[0], [1]]
    assert step.calls[1].beam_index.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert all(3 <= row < 6 for call in step.calls[2:] for row in call.beam_index[1].tolist())


def test_the_decoder_sees_what_the_hypotheses_say(scripted: Any, plan_of: Any) -> None:
    step = scripted(random_script(2))
    result = search(
        step, plan_of(num_beams=4, num_return_sequences=4, max_new_tokens=7), 2, max_candidates=100
    )
    for utterance, ranked in enumerate(result.hypotheses):
        for hypothesis in ranked:
            for place, reported in enumerate(hypothesis.log_probs, start=1):
                logits = np.array(step.script(utterance, hypothesis.tokens[:place]))
                expected = logits[hypothesis.tokens[place]] - np.log(np.exp(logits).sum())
                assert reported == pytest.approx(expected, abs=1e-5)


def test_stop_finishes_the_running_beams(scripted: Any, plan_of: Any) -> None:
    asked = []

    def stop() -> bool:
        asked.append(len(step.calls))
        return len(asked) == 3

    step = scripted(random_script(4))
    plan = plan_of(num_beams=3, num_return_sequences=3, max_new_tokens=9, min_new_tokens=9)
    result = search(step, plan, 2, max_candidates=100, stop=stop)
    assert asked == [1, 2, 3]  # before each step but the first
    assert (result.steps, result.stopped) == (3, True)
    short = plan_of(num_beams=3, num_return_sequences=3, max_new_tokens=3, min_new_tokens=3)
    # Stopped after three tokens is what three tokens at most would have given.
    assert result.hypotheses == search(scripted(random_script(4)), short, 2, max_candidates=100).hypotheses


def test_stop_that_never_fires_changes_nothing(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(num_beams=3, max_new_tokens=6)
    free = search(scripted(random_script(6)), plan, 1, max_candidates=100)
    assert search(scripted(random_script(6)), plan, 1, max_candidates=100, stop=lambda: False) == free


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_a_batch_ends_as_its_utterances_do_alone(scripted: Any, plan_of: Any, early_stopping: Any) -> None:
    plan = plan_of(num_beams=3, num_return_sequences=3, max_new_tokens=12, early_stopping=early_stopping)
    for seed in range(10):
        script = random_script(seed)
        together = search(scripted(script), plan, 3, max_candidates=100).hypotheses
        for utterance in range(3):
            alone = search(
                scripted(lambda _, history, u=utterance, s=script: s(u, history)), plan, 1, max_candidates=100
            )
            assert alone.hypotheses[0] == together[utterance]


def test_a_forced_first_token_costs_nothing(scripted: Any, plan_of: Any) -> None:
    step = scripted(random_script(7))
    plan = plan_of(num_beams=3, num_return_sequences=3, max_new_tokens=5, forced_bos_token_id=6)
    ranked = search(step, plan, 1, max_candidates=100).hypotheses[0]
    assert all(h.tokens[:2] == (0, 6) and h.log_probs[0] == 0.0 for h in ranked)
    assert len({h.tokens for h in ranked}) == 3
    assert [call.new for call in step.calls] == [2, *[1] * (len(step.calls) - 1)]  # fed with the prompt


def test_a_place_that_nothing_fills_is_the_prompt_alone(scripted: Any, plan_of: Any) -> None:
    others = tuple(token for token in range(8) if token != EOS)
    plan = plan_of(num_beams=2, num_return_sequences=2, max_new_tokens=5, suppress_tokens=others)
    first, second = search(scripted(script_of({})), plan, 1, max_candidates=100).hypotheses[0]
    assert first.tokens == (0, EOS)
    assert (second.tokens, second.log_probs, second.score) == ((0,), (), -1e9)


def test_whole_rows_find_what_candidates_find(scripted: Any, plan_of: Any) -> None:
    plan = plan_of(
        vocab_size=60, num_beams=4, num_return_sequences=4, max_new_tokens=8, no_repeat_ngram_size=2,
        repetition_penalty=1.3, bad_words_ids=((5, 6), (7,)), suppress_tokens=(9, 10), min_new_tokens=3,
    )  # fmt: skip
    for seed in range(5):
        sparse, whole = scripted(random_script(seed, 60)), scripted(random_script(seed, 60))
        found = search(sparse, plan, 2, max_candidates=60).hypotheses
        fetched = search(whole, plan, 2, max_candidates=1).hypotheses
        assert not any(call.with_logits for call in sparse.calls)
        assert all(call.with_logits for call in whole.calls)
        assert [[h.tokens for h in r] for r in found] == [[h.tokens for h in r] for r in fetched]
        for ours, theirs in zip(sum(found, ()), sum(fetched, ()), strict=True):
            assert ours.log_probs == pytest.approx(theirs.log_probs, abs=1e-5)
            assert ours.score == pytest.approx(theirs.score, abs=1e-5)


def test_candidates_grow_by_what_the_rules_may_lower(scripted: Any, plan_of: Any) -> None:
    def asked(**options: Any) -> list[int]:
        step = scripted(random_script(9, 60))
        search(step, plan_of(vocab_size=60, num_beams=3, max_new_tokens=3, **options), 1, max_candidates=60)
        return [call.candidates for call in step.calls]

    assert asked() == [6, 6, 6]
    assert asked(suppress_tokens=(5, 6, 7)) == [9, 9, 9]
    assert asked(min_new_tokens=2) == [7, 7, 6]
    assert asked(begin_suppress_tokens=(5, EOS)) == [8, 6, 6]
    assert asked(suppress_tokens=(5, EOS), min_new_tokens=3) == [8, 8, 8]
    assert asked(no_repeat_ngram_size=1)[0] == 7  # the start token
    assert asked(suppress_tokens=tuple(range(2, 58))) == [60, 60, 60]  # never beyond the vocabulary
