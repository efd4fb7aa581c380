"""Bugs that a decoder of this kind is prone to, planted one by one: the comparison with eager sees each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.digits.audio import usual_batches
from support.digits.cases import Tally, open_pair
from support.digits.sweeps import Sweeps

from s2t_runtime.search.beam_search import BeamSearch
from s2t_runtime.sessions.onnxruntime.session import DecoderState, Encoded, OnnxSession


@pytest.fixture(scope="module")
def sweeps(digits_checkpoint: Path, digits_bundle: Path) -> Sweeps:
    sweeps = Sweeps(open_pair(digits_checkpoint, digits_bundle), usual_batches())
    assert _faults_in_batches(sweeps) == []
    return sweeps


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
def test_a_planted_bug_is_seen(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    assert _faults_in_batches(sweeps) != []


def _faults_in_batches(sweeps: Sweeps) -> list[str]:
    tally = Tally()
    for width in (4, 5):
        sweeps.together(0, width, tally)
    return tally.faults
