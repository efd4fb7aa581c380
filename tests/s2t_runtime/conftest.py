"""Step functions and plans for the search tests, with no model behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.digits.audio import usual_batches
from support.doubles.model import FakeModel
from support.doubles.scripted_step import ScriptedStep

from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.commands import run as cli_run
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search

START, EOS, VOCAB = 0, 1, 8


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
