"""Whole decodings against eager, scripted on both sides: equal, off, tied, and what eager is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import GenerationConfig

from exporter.parity.check import allowance_for
from exporter.parity.decodings import (
    EXACT,
    LOG_MEL_SCORE_TOLERANCE,
    SCORE_TOLERANCE,
    TIE_MARGIN,
    Allowance,
    GenerateRow,
    compare_decodings,
    compare_defaults,
)
from exporter.reference.eager import EagerHypotheses
from exporter.reference.utterance import Utterance
from graphs import LogMelSettings, WaveformSettings
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.results import Hypothesis, Result

NAN, INF = float("nan"), float("inf")


@dataclass
class StubReference:
    """Eager, as scripted: one answer to every request, and a log-probability for each sequence."""

    answer: EagerHypotheses
    log_probs: Mapping[tuple[int, ...], float] = field(default_factory=dict)
    config: GenerationConfig = field(default_factory=GenerationConfig)
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def model(self) -> SimpleNamespace:
        return SimpleNamespace(generation_config=self.config)

    @property
    def checkpoint(self) -> SimpleNamespace:
        return SimpleNamespace(extractor=SimpleNamespace(sampling_rate=16000))

    def generate(self, waveforms: Sequence[Any], **options: Any) -> list[EagerHypotheses]:
        self.asked.append(options)
        return [self.answer] * len(waveforms)

    def log_probability(self, _waveform: Any, tokens: tuple[int, ...], _prompt: int) -> float:
        return self.log_probs[tokens]


@dataclass
class StubModel:
    """A bundle, as scripted."""

    hypotheses: tuple[Hypothesis, ...]
    generation: Mapping[str, object] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    max_positions: int | None = None
    ignored: Sequence[str] = ()
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def manifest(self) -> SimpleNamespace:
        return SimpleNamespace(
            generation=self.generation,
            languages=self.languages,
            decoder=SimpleNamespace(max_positions=self.max_positions),
            provenance={"options": {"ignored_generation_options": list(self.ignored)}},
        )

    def plan(self, **options: Any) -> SearchPlan:
        return plan_search(
            GenerationOptions.from_dict({"decoder_start_token_id": 2, **self.generation}),
            GenerationOptions.from_dict(options),
            languages={},
            vocab_size=40,
            max_positions=self.max_positions,
        )

    def generate(self, audio: Any, **options: Any) -> Result | list[Result]:
        self.asked.append(options)
        best = self.hypotheses[0]
        result = Result("text", best.tokens, best.score, None, self.hypotheses, {}, 1.0)
        return [result] * len(audio) if isinstance(audio, list) else result


def compare(
    got: Mapping[tuple[int, ...], float],
    wanted: Mapping[tuple[int, ...], float],
    log_probs: Mapping[tuple[int, ...], float] | None = None,
    allowance: Allowance = EXACT,
    **options: Any,
) -> GenerateRow:
    """The row of a decoding that gave one n-best list (tokens -> score) where eager gave another."""
    reference = StubReference(EagerHypotheses(tuple(wanted), tuple(wanted.values())), log_probs or {})
    model = StubModel(
        tuple(Hypothesis("", tokens, score, (0.0,) * (len(tokens) - 1)) for tokens, score in got.items())
    )
    utterances = [Utterance("probe", np.zeros(400, np.float32))]
    asked = {"num_beams": 2, **options}
    alone, batched = compare_decodings(reference, model, utterances, [asked], allowance)
    assert (alone.options, batched.options) == (asked, {**asked, "batch": 1})
    assert alone.same_tokens == batched.same_tokens
    return alone


def test_equal_decodings_pass() -> None:
    row = compare({(2, 5, 2): -0.5, (2, 6, 2): -0.75}, {(2, 5, 2): -0.5, (2, 6, 2): -0.75})
    assert row.passed
    assert (row.hypotheses, row.tokens, row.same_tokens, row.tie) == (2, 6, True, False)
    assert row.score_difference == 0


@pytest.mark.parametrize(("off", "passed"), [(0.9, True), (1.1, False)])
def test_scores_are_held_to_their_tolerance(off: float, passed: bool) -> None:
    row = compare({(2, 5): -0.5, (2, 6): -0.75 + off * SCORE_TOLERANCE}, {(2, 5): -0.5, (2, 6): -0.75})
    assert row.same_tokens
    assert row.passed == passed


@pytest.mark.parametrize(("penalty", "factor"), [(1.0, 1.0), (0.0, 1 / 4), (0.5, 1 / 2), (2.0, 4.0)])
def test_scores_are_compared_as_means(penalty: float, factor: float) -> None:
    """A sum of four log-probabilities is off by four times what their mean is off by."""
    row = compare({(2, 5, 6, 7, 8): -0.5 + 1e-3}, {(2, 5, 6, 7, 8): -0.5}, length_penalty=penalty)
    assert row.score_difference == pytest.approx(1e-3 * factor)


def test_log_mel_features_are_allowed_more() -> None:
    """Eager computes them in float64."""
    assert allowance_for(checkpoint_with(LogMelSettings)) == Allowance(LOG_MEL_SCORE_TOLERANCE)
    assert allowance_for(checkpoint_with(WaveformSettings)) == Allowance(SCORE_TOLERANCE)
    off = 2 * SCORE_TOLERANCE
    asked: dict[str, Any] = {"num_beams": 2, "length_penalty": 1.0}
    reference = StubReference(EagerHypotheses(((2, 5),), (-0.5,)))
    model = StubModel((Hypothesis("", (2, 5), -0.5 + off, (0.0,)),))
    utterances = [Utterance("probe", np.zeros(400, np.float32))]
    strict, _ = compare_decodings(reference, model, utterances, [asked])
    assert not strict.passed
    loose, _ = compare_decodings(reference, model, utterances, [asked], Allowance(LOG_MEL_SCORE_TOLERANCE))
    assert loose.passed


def checkpoint_with(settings: type) -> Any:
    return SimpleNamespace(features=object.__new__(settings))


@pytest.mark.parametrize("scores", [(NAN, -0.75), (-0.5, NAN), (-0.5, -INF)])
def test_scores_that_are_no_numbers_do_not_pass(scores: tuple[float, float]) -> None:
    row = compare({(2, 5): scores[0], (2, 6): scores[1]}, {(2, 5): -0.5, (2, 6): -0.75})
    assert row.same_tokens
    assert not row.passed


@pytest.mark.parametrize(("margin", "tie"), [(0.5, True), (1.5, False)])
def test_eagers_own_indecision_is_a_tie(margin: float, tie: bool) -> None:
    row = compare(
        {(2, 5): -1.0, (2, 6): -1.0},
        {(2, 6): -1.0, (2, 5): -1.0},
        {(2, 5): -1.0, (2, 6): -1.0 - margin * TIE_MARGIN},
    )
    assert (row.same_tokens, row.tie, row.passed) == (False, tie, tie)


@pytest.mark.parametrize(("margin", "tie"), [(0.9, True), (1.1, False)])
def test_a_lower_precision_may_choose_what_eager_holds_nearly_as_good(margin: float, tie: bool) -> None:
    row = compare(
        {(2, 5, 2): -1.05},
        {(2, 6, 2): -1.0},
        {(2, 5, 2): -3.0 - 3 * 0.1 * margin, (2, 6, 2): -3.0},
        Allowance(score=0.1, margin_per_token=0.1),
    )
    assert (row.same_tokens, row.tie, row.passed) == (False, tie, tie)


def test_scores_of_a_lower_precision_have_their_own_tolerance() -> None:
    allowance = Allowance(score=0.1, margin_per_token=0.1)
    assert compare({(2, 5): -0.59}, {(2, 5): -0.5}, allowance=allowance).passed
    assert not compare({(2, 5): -0.61}, {(2, 5): -0.5}, allowance=allowance).passed


def test_one_tie_does_not_excuse_another_difference() -> None:
    row = compare(
        {(2, 5): -1.0, (2, 7): -1.0},
        {(2, 6): -1.0, (2, 8): -1.0},
        {(2, 5): -1.0, (2, 6): -1.0, (2, 7): -1.0, (2, 8): -2.0},
    )
    assert not row.tie


def test_another_start_token_is_no_tie() -> None:
    assert not compare({(3, 5): -1.0}, {(2, 5): -1.0}, {(3, 5): -1.0, (2, 5): -1.0}).tie


def test_a_tie_with_another_score_does_not_pass() -> None:
    row = compare({(2, 5): -1.1}, {(2, 6): -1.0}, {(2, 5): -1.0, (2, 6): -1.0})
    assert row.tie
    assert not row.passed


def test_every_utterance_is_decoded_with_every_option_set_alone_and_together() -> None:
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)))
    model = StubModel((Hypothesis("", (2, 5), -1.0, ()),))
    utterances = [Utterance(f"probe-{number}", np.zeros(400, np.float32)) for number in range(3)]
    rows = compare_decodings(reference, model, utterances, [{"num_beams": 1}, {"num_beams": 4}])
    assert len(rows) == 3 * 2 * 2
    assert [row.options.get("batch") for row in rows[:4]] == [None, 3, None, 3]


def test_ignored_options_are_switched_off_in_eager_too() -> None:
    config = GenerationConfig(
        do_sample=True, top_k=20, diversity_penalty=0.5, num_beams=7, repetition_penalty=1.2
    )
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)), config=config)
    model = StubModel((Hypothesis("", (2, 5), -1.0, ()),))
    compare_decodings(reference, model, [Utterance("probe", np.zeros(4, np.float32))], [{"num_beams": 3}])
    # What the bundle does obey stays as the checkpoint has it.
    assert reference.asked == [{"do_sample": False, "diversity_penalty": 0.0, "num_beams": 3}]


def test_a_checkpoint_that_draws_is_compared_without_drawing() -> None:
    config = GenerationConfig(do_sample=True, temperature=0.7, num_return_sequences=3)
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)), config=config)
    model = StubModel((Hypothesis("", (2, 5), -1.0, ()),))
    rows = compare_decodings(
        reference, model, [Utterance("probe", np.zeros(4, np.float32))], [{"num_beams": 3}]
    )
    wanted = {"do_sample": False, "num_return_sequences": 1, "num_beams": 3}
    assert reference.asked == [wanted]
    assert dict(rows[0].options) == wanted  # and so is the bundle


def test_a_supported_option_that_was_ignored_is_switched_off_in_eager_too() -> None:
    config = GenerationConfig(no_repeat_ngram_size=3, num_beams=7, bad_words_ids=[[5]])
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)), config=config)
    model = StubModel(
        (Hypothesis("", (2, 5), -1.0, ()),), ignored=("no_repeat_ngram_size", "bad_words_ids", "num_beams")
    )
    compare_decodings(reference, model, [Utterance("probe", np.zeros(4, np.float32))], [{"num_beams": 3}])
    assert reference.asked == [{"no_repeat_ngram_size": 0, "bad_words_ids": None, "num_beams": 3}]


# The defaults.


def defaults_asked(
    checkpoint: Mapping[str, Any],
    bundle: Mapping[str, Any],
    *,
    positions: int | None = None,
    most_new: int = 50,
) -> tuple[dict[str, Any], dict[str, Any], GenerateRow]:
    """What eager and the bundle are asked, and the row."""
    reference = StubReference(EagerHypotheses(((2, 5),), (-1.0,)), config=GenerationConfig(**checkpoint))
    model = StubModel((Hypothesis("", (2, 5), -1.0, (0.0,)),), generation=bundle, max_positions=positions)
    row = compare_defaults(reference, model, Utterance("probe", np.zeros(4, np.float32)), most_new)  # type: ignore[arg-type]
    (eager,), (runtime,) = reference.asked, model.asked
    assert runtime.pop("sampling_rate") == 16000
    return eager, runtime, row


@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 5, "max_length": 30}, {"max_new_tokens": 31, "min_length": 40}]
)
def test_untouched_defaults_are_compared_with_untouched_eager(options: dict[str, Any]) -> None:
    eager, runtime, row = defaults_asked(options, options, positions=32)
    assert (eager, runtime, dict(row.options)) == ({}, {}, {})
    assert row.passed


@pytest.mark.parametrize(
    ("checkpoint", "bundle", "told"),
    [
        ({"max_new_tokens": 64}, {"max_new_tokens": 32}, {"max_new_tokens": 32}),
        ({"max_length": 64}, {"max_length": 33}, {"max_new_tokens": 32}),
        # Of a bundle that was made before lengths were cut.
        ({"max_length": 64}, {"max_length": 64}, {"max_new_tokens": 32}),
        ({"num_beams": 5, "max_length": 30}, {"num_beams": 2, "max_length": 30}, {"num_beams": 2}),
        ({"max_length": 30}, {"max_length": 30, "max_new_tokens": 4}, {"max_new_tokens": 4}),
        ({"num_beams": 4}, {}, {"num_beams": 1}),
    ],
)
def test_eager_is_told_what_the_bundle_has_otherwise(
    checkpoint: dict[str, Any], bundle: dict[str, Any], told: dict[str, Any]
) -> None:
    eager, runtime, row = defaults_asked(checkpoint, bundle, positions=32)
    assert (eager, runtime, dict(row.options)) == (told, {}, {})


def test_long_defaults_are_decoded_in_part() -> None:
    stored = {"max_length": 900, "num_beams": 3}
    eager, runtime, row = defaults_asked(stored, stored, most_new=50)
    assert eager == runtime == row.options == {"max_new_tokens": 50}


def test_the_defaults_of_a_checkpoint_that_draws() -> None:
    stored = {"do_sample": True, "num_return_sequences": 3, "max_length": 30}
    eager, runtime, _ = defaults_asked(stored, stored)
    assert eager == runtime == {"do_sample": False, "num_return_sequences": 1}
