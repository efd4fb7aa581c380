"""Every decoding option on the digits bundle, with the meaning that ``generate()`` gives it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.digits.audio import carried_batches, probe_batches
from support.digits.cases import Pair, Tally, open_pair
from support.digits.option_cases import (
    CASES,
    FRENCH,
    NOTHING,
    Base,
    Case,
)
from support.digits.scale import RATE, Waveform

from s2t_runtime import GenerationOptions, Result
from s2t_runtime.options.sampling import Sampling


@pytest.fixture(scope="module")
def pair(digits_checkpoint: Path, digits_bundle: Path) -> Pair:
    return open_pair(digits_checkpoint, digits_bundle)


@pytest.fixture(scope="module")
def audios() -> list[Waveform]:
    """A recording of several words, where the repository carries any, and a stand-in."""
    carried = sorted((a for batch in carried_batches() for a in batch.waveforms), key=len)
    return [*carried[len(carried) // 2 :][:1], probe_batches()[0].waveforms[0]]


def _decode(pair: Pair, audio: Waveform, options: dict[str, Any]) -> Result:
    return pair.model.generate(audio, sampling_rate=RATE, **options)


def _what_was_found(result: Result) -> list[tuple[tuple[int, ...], float]]:
    return [(hypothesis.tokens, round(hypothesis.score, 6)) for hypothesis in result.hypotheses]


@pytest.mark.parametrize("case", [NOTHING, *CASES], ids=lambda case: case.name)
def test_an_option_means_what_it_means_in_transformers(
    pair: Pair, audios: list[Waveform], case: Case
) -> None:
    tally, changed = Tally(), False
    for width in case.widths:
        for audio in audios:
            plain = _decode(pair, audio, NOTHING.options(Base(()), width))
            options = case.options(Base(plain.tokens), width)
            result = _decode(pair, audio, options)
            eager_options = case.eager_options(options)
            wanted = pair.eager.generate(audio, **eager_options)
            tally.compare(pair.eager, audio, eager_options, wanted, result)
            changed |= _what_was_found(result) != _what_was_found(plain)
    assert tally.faults == []
    assert changed or not case.changes or case is NOTHING


def test_every_option_has_a_case() -> None:
    base = Base((2, FRENCH, 20, 21, 22, 23, 2))
    named = {name for case in CASES for name in case.build(base)} | {"num_beams"}
    unasked = {"bos_token_id", "pad_token_id"}  # they name tokens, and choose nothing by themselves
    drawn = {field.name for field in dataclasses.fields(Sampling)} - {"min_tokens_to_keep"}
    assert named | unasked | drawn == {field.name for field in dataclasses.fields(GenerationOptions)}


@pytest.mark.parametrize("width", [1, 4])
def test_several_forced_end_tokens(pair: Pair, audios: list[Waveform], width: int) -> None:
    # All of them score 0, and which of equals comes first is left open by torch.topk: so scores are
    # compared rank by rank, tokens up to the forced one.
    ends = (2, 7)
    options = {
        "num_beams": width, "num_return_sequences": width, "forced_eos_token_id": ends, "max_new_tokens": 4,
        "min_new_tokens": 3, "forced_bos_token_id": FRENCH,
    }  # fmt: skip
    for audio in audios:
        wanted, result = pair.eager.generate(audio, **options), _decode(pair, audio, options)
        scores = [hypothesis.score for hypothesis in result.hypotheses]
        assert scores == pytest.approx([hypothesis.score for hypothesis in wanted], abs=1e-4)
        forced = [hypothesis for hypothesis in result.hypotheses if len(hypothesis.tokens) == 5]
        assert forced
        assert all(hypothesis.tokens[-1] in ends for hypothesis in forced)
        assert {hypothesis.tokens[:-1] for hypothesis in wanted} == {
            hypothesis.tokens[:-1] for hypothesis in result.hypotheses
        }


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default")
def test_the_bundles_defaults_are_the_checkpoints(pair: Pair, audios: list[Waveform]) -> None:
    tally = Tally()
    for audio in audios:
        tally.compare(pair.eager, audio, {}, pair.eager.generate(audio), _decode(pair, audio, {}))
    assert tally.faults == []
