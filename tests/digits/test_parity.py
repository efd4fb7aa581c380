"""The digits bundle against eager ``generate()``: every hypothesis of every search, alone and in batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.digits.audio import FIRST_LANGUAGE, carried_batches, probe_batches, spoken_batches
from support.digits.cases import MAX_TIES_SHARE, Eager, Pair, Tally, is_tie, open_pair
from support.digits.scale import RATE
from support.digits.sweeps import BEAM_WIDTHS, WIDTHS, Sweeps, Traits


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


def _assert_bites(sweeps: Sweeps, *, least: float, least_at_once: float) -> None:
    traits = [traits for width in BEAM_WIDTHS for traits in sweeps.at(width).traits]
    shares = {
        field.name: float(np.mean([getattr(one, field.name) for one in traits]))
        for field in dataclasses.fields(Traits)
    }
    at_once = float(np.mean([all(dataclasses.astuple(one)) for one in traits]))
    assert min(shares.values()) >= least, shares
    assert at_once >= least_at_once, at_once


def test_a_third_of_the_spoken_cases_need_a_beam_search(spoken: Sweeps) -> None:
    _assert_bites(spoken, least=1 / 3, least_at_once=1 / 3)


def test_some_of_the_carried_cases_need_a_beam_search(carried: Sweeps) -> None:
    # So few that the shares are left to chance.
    _assert_bites(carried, least=1 / 5, least_at_once=1 / 5)


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
