"""Step functions and plans for the search tests, with no model behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.digits.audio import usual_batches
from support.doubles.model import FakeModel

from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.commands import run as cli_run
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.sessions.protocol import Candidates, Float32, Int64

START, EOS, VOCAB = 0, 1, 8
Script = Callable[[int, tuple[int, ...]], Sequence[float]]


def log_softmax(logits: Float32) -> Float32:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(np.float32)


@dataclass(frozen=True)
class Call:
    beam_index: Int64
    candidates: int
    with_logits: bool
    new: int


@dataclass
class ScriptedStep:
    """A decoder whose scores are a function of (utterance, tokens so far); it checks how it is called."""

    script: Script
    normalise: bool = True
    histories: list[list[tuple[int, ...]]] = field(default_factory=list)  # per utterance, per cache row
    calls: list[Call] = field(default_factory=list)

    def __call__(
        self, tokens: Int64, beam_index: Int64, candidates: int, *, with_logits: bool = False
    ) -> Candidates:
        batch, beams, new = tokens.shape
        assert tokens.dtype == beam_index.dtype == np.int64
        assert beam_index.shape == (batch, beams)
        assert candidates >= 1
        if not self.histories:
            assert beams == 1
            assert beam_index.tolist() == [[b] for b in range(batch)]
            self.histories = [[()] for _ in range(batch)]
        else:
            assert new == 1
        previous = len(self.histories[0])
        flat = [row for rows in self.histories for row in rows]
        for b in range(batch):
            assert all(b * previous <= row < (b + 1) * previous for row in beam_index[b].tolist())
        self.histories = [
            [flat[beam_index[b, k]] + tuple(tokens[b, k].tolist()) for k in range(beams)]
            for b in range(batch)
        ]
        self.calls.append(Call(beam_index.copy(), candidates, with_logits, new))
        logits = np.array(
            [[self.script(b, row) for row in rows] for b, rows in enumerate(self.histories)], dtype=np.float32
        )
        log_probs = log_softmax(logits) if self.normalise else logits
        assert candidates <= logits.shape[-1]
        ids = np.argsort(-log_probs, axis=-1, kind="stable")[..., :candidates]
        return Candidates(np.take_along_axis(log_probs, ids, -1), ids, logits if with_logits else None)


@pytest.fixture(scope="module")
def digits(digits_bundle: Path) -> Bundle:
    """The example bundle, opened."""
    return open_bundle(digits_bundle)


@pytest.fixture(scope="module")
def batches() -> list[list[Any]]:
    """Waveforms of different and of equal lengths."""
    found = [waveform for batch in usual_batches() for waveform in batch.waveforms]
    return [found[:4], found[1:3], [found[0][:8000], found[1][:8000]]]


@pytest.fixture
def scripted() -> type[ScriptedStep]:
    return ScriptedStep


@pytest.fixture
def plan_of() -> Callable[..., SearchPlan]:
    """A plan from call options over a bundle with start 0, end 1 and eight tokens."""

    def build(vocab_size: int = VOCAB, **options: Any) -> SearchPlan:
        defaults = GenerationOptions(decoder_start_token_id=START, eos_token_id=EOS)
        overrides = GenerationOptions(**options)
        return plan_search(defaults, overrides, languages={}, vocab_size=vocab_size, max_positions=None)

    return build


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """What run-s2t loads in place of a bundle."""
    fake = FakeModel()
    monkeypatch.setattr(cli_run, "_load", lambda _: fake)
    return fake
