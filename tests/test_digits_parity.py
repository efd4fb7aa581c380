"""The digits bundle against eager ``generate()``: every hypothesis of every search, alone and in batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits_audio import FIRST_LANGUAGE, Batch, carried_batches, probe_batches, spoken_batches
from digits_cases import (
    MAX_TIES_SHARE,
    RATE,
    Eager,
    Hypothesis,
    Pair,
    Tally,
    is_tie,
    open_pair,
    recorded_steps,
    reordered,
)

from s2t_runtime import Result
from s2t_runtime.beam_search import BeamSearch
from s2t_runtime.session_onnxruntime import DecoderState, Encoded, OnnxSession

WIDTHS = (1, 2, 4, 5)
BEAM_WIDTHS = WIDTHS[1:]
PENALTIES = (1.0, 2.0, 0.5)
STOPPINGS = (False, True, "never")


@dataclasses.dataclass(frozen=True)
class Traits:
    """What makes a beam search more than a greedy one."""

    reordered: bool
    not_greedy: bool
    finished_early: bool


@dataclasses.dataclass
class Sweep:
    """All batches at one width, compared."""

    alone: Tally = dataclasses.field(default_factory=Tally)
    together: Tally = dataclasses.field(default_factory=Tally)
    traits: list[Traits] = dataclasses.field(default_factory=list)


class Sweeps:
    """Decodes the same batches at any width; what eager says is asked once."""

    def __init__(self, pair: Pair, batches: Sequence[Batch]) -> None:
        self.pair = pair
        self.batches = batches
        self._sweeps: dict[int, Sweep] = {}
        self._eager: dict[tuple[int, int, int], tuple[Hypothesis, ...]] = {}

    def at(self, width: int) -> Sweep:
        if width not in self._sweeps:
            sweep = self._sweeps[width] = Sweep()
            for number in range(len(self.batches)):
                self._alone(number, width, sweep)
                self.together(number, width, sweep.together)
        return self._sweeps[width]

    def options(self, number: int, width: int) -> dict[str, Any]:
        """Of one batch at one width.

        Every batch has its language forced at one width and when decoded greedily. In the other searches
        the model chooses the language as well, where it has no preference: so the beams differ, and what
        is best is not seen at the first token.
        """
        options: dict[str, Any] = {"num_beams": width, "num_return_sequences": width, "max_new_tokens": 28}
        if width == 1 or (number + width) % 3 == 0:
            options["forced_bos_token_id"] = FIRST_LANGUAGE + number % 12
        if width == 1:
            return options
        turn = number + number // 3  # pairs each penalty with each way to stop
        options["num_return_sequences"] = max(1, width - number % 3)
        return {**options, "length_penalty": PENALTIES[number % 3], "early_stopping": STOPPINGS[turn % 3]}

    def eager(self, number: int, row: int, width: int) -> tuple[Hypothesis, ...]:
        key = (number, row, width)
        if key not in self._eager:
            waveform, options = self.batches[number].waveforms[row], self.options(number, width)
            self._eager[key] = self.pair.eager.generate(waveform, **options)
        return self._eager[key]

    def _alone(self, number: int, width: int, sweep: Sweep) -> None:
        options = self.options(number, width)
        for row, waveform in enumerate(self.batches[number].waveforms):
            with recorded_steps() as steps:
                result = self.pair.model.generate(waveform, sampling_rate=RATE, **options)
            wanted = self.eager(number, row, width)
            sweep.alone.compare(self.pair.eager, waveform, options, wanted, result)
            if width > 1:
                sweep.traits.append(self._traits(waveform, options, result, steps))

    def _traits(
        self, waveform: np.ndarray, options: dict[str, Any], result: Result, steps: list[np.ndarray]
    ) -> Traits:
        greedy = self.pair.model.generate(
            waveform, sampling_rate=RATE, **{**options, "num_beams": 1, "num_return_sequences": 1}
        )
        early = any(len(hypothesis.log_probs) < len(steps) for hypothesis in result.hypotheses)
        return Traits(reordered(steps), result.tokens != greedy.tokens, early)

    def together(self, number: int, width: int, tally: Tally) -> None:
        """Decode as one batch; each utterance is compared with eager's answer to it alone."""
        options, batch = self.options(number, width), self.batches[number]
        results = self.pair.model.generate(batch.waveforms, sampling_rate=RATE, **options)
        assert len(results) == len(batch.waveforms)
        for row, (waveform, result) in enumerate(zip(batch.waveforms, results, strict=True)):
            tally.compare(self.pair.eager, waveform, options, self.eager(number, row, width), result)


@pytest.fixture(scope="module")
def pair(digits_checkpoint: Path, digits_bundle: Path) -> Pair:
    return open_pair(digits_checkpoint, digits_bundle)


@pytest.fixture(scope="module")
def spoken(pair: Pair, recordings_directory: Path) -> Sweeps:
    return Sweeps(pair, spoken_batches(recordings_directory))


@pytest.fixture(scope="module")
def carried(pair: Pair) -> Sweeps:
    batches = carried_batches()
    if not batches:
        pytest.skip("examples/digits/recordings holds no recordings")
    return Sweeps(pair, batches)


@pytest.fixture(scope="module")
def probes(pair: Pair) -> Sweeps:
    return Sweeps(pair, probe_batches())


def _assert_equal(sweeps: Sweeps, width: int) -> None:
    sweep = sweeps.at(width)
    asked = [sweeps.options(n, width)["num_return_sequences"] for n in range(len(sweeps.batches))]
    wanted = sum(n * len(batch.waveforms) for n, batch in zip(asked, sweeps.batches, strict=True))
    for tally in (sweep.alone, sweep.together):
        assert tally.faults == []
        assert tally.hypotheses == wanted


@pytest.mark.parametrize("width", WIDTHS)
def test_spoken_digits_decode_as_in_eager(spoken: Sweeps, width: int) -> None:
    _assert_equal(spoken, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_carried_recordings_decode_as_in_eager(carried: Sweeps, width: int) -> None:
    _assert_equal(carried, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_probes_decode_as_in_eager(probes: Sweeps, width: int) -> None:
    _assert_equal(probes, width)


def test_the_spoken_cases_are_as_many_and_as_varied_as_meant(spoken: Sweeps) -> None:
    kinds = [kind for batch in spoken.batches for kind in batch.kinds]
    assert len(kinds) >= 60
    assert len(kinds) - kinds.count("clean") >= 20
    assert any(len(batch.lengths) == 1 for batch in spoken.batches)
    assert any(len(batch.lengths) == len(batch.waveforms) for batch in spoken.batches)
    for widths in ((1,), BEAM_WIDTHS):
        options = [spoken.options(n, width) for n in range(len(spoken.batches)) for width in widths]
        forced = {chosen.get("forced_bos_token_id") for chosen in options}
        assert forced - {None} == set(range(FIRST_LANGUAGE, FIRST_LANGUAGE + 12))
    styles = {(chosen["length_penalty"], chosen["early_stopping"]) for chosen in options}
    assert len(styles) == 9


def test_hardly_any_ties(spoken: Sweeps) -> None:
    tallies = [tally for width in WIDTHS for tally in (spoken.at(width).alone, spoken.at(width).together)]
    hypotheses = sum(tally.hypotheses for tally in tallies)
    assert hypotheses > 1000
    assert sum(tally.ties for tally in tallies) <= MAX_TIES_SHARE * hypotheses


def _assert_bites(sweeps: Sweeps, record: Callable[[str, object], None]) -> None:
    traits = [traits for width in BEAM_WIDTHS for traits in sweeps.at(width).traits]
    shares = {
        field.name: float(np.mean([getattr(one, field.name) for one in traits]))
        for field in dataclasses.fields(Traits)
    }
    shares["all three"] = float(np.mean([all(dataclasses.astuple(one)) for one in traits]))
    for name, share in shares.items():
        record(name, round(share, 2))
        assert share >= 1 / 3, shares


def test_a_third_of_the_spoken_cases_need_a_beam_search(
    spoken: Sweeps, record_property: Callable[[str, object], None]
) -> None:
    _assert_bites(spoken, record_property)


def test_a_third_of_the_probe_cases_need_a_beam_search(
    probes: Sweeps, record_property: Callable[[str, object], None]
) -> None:
    _assert_bites(probes, record_property)


def test_only_hypotheses_that_eager_holds_equal_are_ties(probes: Sweeps) -> None:
    width = 5
    for number, batch in enumerate(probes.batches):
        options, eager = probes.options(number, width), probes.pair.eager
        for row, waveform in enumerate(batch.waveforms):
            wanted = probes.eager(number, row, width)
            for rank, hypothesis in enumerate(wanted):
                # Scored anew, without cache and search, it is the score that the search gave.
                assert eager.score(waveform, hypothesis.tokens, options) == pytest.approx(
                    hypothesis.score, abs=1e-5
                )
                assert is_tie(eager, waveform, options, wanted, rank, hypothesis.tokens)
            assert not is_tie(eager, waveform, options, wanted, 0, wanted[-1].tokens)
            other = (*wanted[0].tokens[:-2], 99, wanted[0].tokens[-1])
            assert not is_tie(eager, waveform, options, wanted, 0, other)


Plant = Callable[[pytest.MonkeyPatch], None]


def _with_beam_index(monkeypatch: pytest.MonkeyPatch, change: Callable[[DecoderState, Any], Any]) -> None:
    original = DecoderState.__call__

    def call(self: DecoderState, tokens: Any, beam_index: Any, candidates: int, **keywords: Any) -> Any:
        changed = change(self, beam_index) if len(self.step_times_s) > 1 else beam_index
        return original(self, tokens, changed, candidates, **keywords)

    monkeypatch.setattr(DecoderState, "__call__", call)


def beams_that_follow_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def advance(self: BeamSearch, rows: Any) -> Any:
        parents = original(self, rows)
        return np.broadcast_to(np.arange(parents.shape[1]), parents.shape)

    original = BeamSearch._advance
    monkeypatch.setattr(BeamSearch, "_advance", advance)


def a_cache_that_is_not_reordered(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_beam_index(monkeypatch, lambda _, index: np.arange(index.size).reshape(index.shape))


def a_cache_that_is_reordered_a_step_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(state: Any, index: Any) -> Any:
        previous, state.previous_index = getattr(state, "previous_index", index), index
        return previous

    _with_beam_index(monkeypatch, late)


def a_cache_reordered_without_regard_to_utterances(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_beam_index(monkeypatch, lambda _, index: index % index.shape[1])


def a_length_penalty_that_counts_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    original = BeamSearch._over_length
    monkeypatch.setattr(
        BeamSearch, "_over_length", lambda self, scores, length: original(self, scores, length + 1)
    )


def a_dropped_encoder_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    original = OnnxSession.stack

    def stack(self: OnnxSession, parts: Any) -> Encoded:
        encoded = original(self, parts)
        return Encoded(self._to_device(np.ones_like(encoded.mask.numpy())), encoded.cross)

    monkeypatch.setattr(OnnxSession, "stack", stack)


def as_few_candidates_as_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    original = BeamSearch.__init__

    def init(self: BeamSearch, step: Any, plan: Any, batch: int, **keywords: Any) -> None:
        original(self, step, plan, batch, **keywords)
        self._keep = plan.num_beams

    monkeypatch.setattr(BeamSearch, "__init__", init)


@pytest.mark.parametrize(
    "plant",
    [
        beams_that_follow_themselves,
        a_cache_that_is_not_reordered,
        a_cache_that_is_reordered_a_step_late,
        a_cache_reordered_without_regard_to_utterances,
        a_length_penalty_that_counts_one_too_many,
        a_dropped_encoder_mask,
        as_few_candidates_as_beams,
    ],
)
def test_a_planted_bug_is_seen(probes: Sweeps, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    sound, planted = Tally(), Tally()
    probes.together(0, 5, sound)
    assert sound.faults == []
    plant(monkeypatch)
    probes.together(0, 5, planted)
    assert planted.faults != []


def test_the_comparison_sees_every_part_of_a_hypothesis(probes: Sweeps) -> None:
    eager: Eager = probes.pair.eager
    options, waveform, wanted = probes.options(0, 4), probes.batches[0].waveforms[0], probes.eager(0, 0, 4)
    result = probes.pair.model.generate(waveform, sampling_rate=RATE, **options)
    first = wanted[0]
    changed = (
        dataclasses.replace(first, score=first.score + 2e-4),
        dataclasses.replace(first, score=float("nan")),
        dataclasses.replace(first, log_probs=(*first.log_probs[:-1], first.log_probs[-1] - 2e-4)),
        dataclasses.replace(first, tokens=(*first.tokens[:-1], 99), score=first.score + 2e-5),
    )
    for other in (None, *changed):
        tally = Tally()
        tally.compare(eager, waveform, options, (other or first, *wanted[1:]), result)
        assert (tally.faults == []) is (other is None)
    short = Tally()
    short.compare(eager, waveform, options, wanted[1:], result)
    assert short.faults != []
