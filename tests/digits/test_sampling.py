"""Sampling on the digits bundle: eager's draws from the same noise, seeds, batches and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.digits.cases import Pair, open_pair
from support.digits.scale import RATE, Waveform
from support.doubles.sampling_noise import our_noise

from s2t_runtime import Result, SpeechToText

FRENCH, SEED = 5, 21
OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.7, "top_k": 0, "top_p": 0.95, "num_return_sequences": 3},
    {"typical_p": 0.9, "min_p": 0.01, "renormalize_logits": True},
    {"top_h": 0.7, "epsilon_cutoff": 0.002, "eta_cutoff": 0.01, "repetition_penalty": 1.2},
    {"num_beams": 3, "num_return_sequences": 2, "temperature": 2.0},
    {"num_beams": 4, "top_p": 0.99, "temperature": 1.5, "early_stopping": True, "length_penalty": 0.5},
]


@pytest.fixture(scope="module")
def pair(digits_checkpoint: Path, digits_bundle: Path) -> Pair:
    return open_pair(digits_checkpoint, digits_bundle)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "defaults")
def test_the_same_noise_draws_what_eager_draws(
    pair: Pair, waveforms: list[Waveform], options: dict[str, Any]
) -> None:
    asked = {
        "num_beams": 1,
        "max_new_tokens": 16,
        "forced_bos_token_id": FRENCH,
        **options,
        "do_sample": True,
    }
    for audio in waveforms[:3]:
        inputs = pair.eager._inputs(audio)
        with our_noise(SEED, 1, asked["num_beams"], asked.get("num_return_sequences", 1)), torch.no_grad():
            wanted = pair.eager.model.generate(**inputs, **asked)
        found = pair.model.generate(audio, sampling_rate=RATE, seed=SEED, **asked)
        assert len(found.hypotheses) == len(wanted)
        for hypothesis, row in zip(found.hypotheses, wanted.tolist(), strict=True):
            assert list(hypothesis.tokens) == row[: len(hypothesis.tokens)]
            assert set(row[len(hypothesis.tokens) :]) <= {1, 2}  # padding


def _found(result: Result) -> list[tuple[int, ...]]:
    return [hypothesis.tokens for hypothesis in result.hypotheses]


DRAWN: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "language": "de", "max_new_tokens": 16}


@pytest.mark.parametrize(
    "widths", [{"num_beams": 1, "num_return_sequences": 3}, {"num_beams": 3, "temperature": 5.0}]
)
def test_a_seed_gives_the_same_alone_in_a_batch_and_from_threads(
    model: SpeechToText, waveforms: list[Waveform], widths: dict[str, Any]
) -> None:
    chosen, options = waveforms[:4], {**DRAWN, **widths}

    def alone(audio: Waveform) -> list[tuple[int, ...]]:
        return _found(model.generate(audio, sampling_rate=RATE, seed=3, **options))

    one_by_one = [alone(audio) for audio in chosen]
    together = model.generate(chosen, sampling_rate=RATE, seed=3, **options)
    assert [_found(result) for result in together] == one_by_one
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(alone, chosen)) == one_by_one
    other = model.generate(chosen, sampling_rate=RATE, seed=4, **options)
    assert [_found(result) for result in other] != one_by_one


def test_without_a_seed_every_call_draws_anew(model: SpeechToText, waveforms: list[Waveform]) -> None:
    several = {**DRAWN, "temperature": 3.0, "num_beams": 1, "num_return_sequences": 16}
    first, second = (model.generate(waveforms[0], sampling_rate=RATE, **several) for _ in range(2))
    assert _found(first) != _found(second)
    assert len(set(_found(first))) > 1


def test_the_encoder_runs_once_for_all_sequences(
    model: SpeechToText, waveforms: list[Waveform], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = model._session
    assert session is not None
    encoded: list[tuple[int, ...]] = []
    real = session.encode
    monkeypatch.setattr(
        session, "encode", lambda audio, lengths: encoded.append(audio.shape) or real(audio, lengths)
    )
    result = model.generate(
        waveforms[0], sampling_rate=RATE, **{**DRAWN, "num_beams": 1, "num_return_sequences": 6}
    )
    assert len(result.hypotheses) == 6
    assert encoded == [(1, len(waveforms[0]))]
    assert np.isfinite([hypothesis.score for hypothesis in result.hypotheses]).all()
