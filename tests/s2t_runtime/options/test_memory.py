"""Searches that no memory holds are refused before any of it is allocated."""

from __future__ import annotations

import re
from typing import Any

import pytest

import s2t_runtime
import s2t_runtime.model
from s2t_runtime.errors import OptionError, SessionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.memory import Memory
from s2t_runtime.options.plan import SearchPlan, plan_search

GIB = 2**30


def plan(memory: Memory | None, **call: Any) -> SearchPlan:
    defaults = GenerationOptions(decoder_start_token_id=0, eos_token_id=1)
    return plan_search(
        defaults, GenerationOptions(**call), languages={}, vocab_size=1000, max_positions=None, memory=memory
    )


def refused(message: str) -> Any:
    return pytest.raises(OptionError, match="^" + re.escape(message))


def test_beams_are_bounded_by_candidates_and_memory() -> None:
    # 48 bytes a token, 56 a candidate, and twice the cache of a token.
    memory = Memory(machine_bytes=GIB, cache_bytes=1004)
    each = 48 * 32 + 56 * 1000 + 2 * 1004
    most = GIB // each
    assert plan(memory, num_beams=most, max_length=32).num_beams == most
    with refused(
        f"{most + 1} beams of up to 32 tokens with 1000 candidates each need at least 1.0 GiB, wanted at most the "
        "1.0 GiB of this machine; pass a smaller num_beams, num_return_sequences or max_length"
    ):
        plan(memory, num_beams=most + 1, max_length=32)


def test_few_beams_keep_few_candidates() -> None:
    memory = Memory(machine_bytes=48 * 32 * 3 + 56 * 6 * 3, cache_bytes=0)
    assert plan(memory, num_beams=3, max_length=32).num_beams == 3
    with refused("3 beams of up to 32 tokens with 9 candidates each need at least 0.0 GiB"):
        plan(memory, num_beams=3, max_length=32, eos_token_id=[1, 2])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            {"max_length": 10**12},
            "1 beams of up to 1000000000000 tokens with 2 candidates each need at least 44703",
        ),
        (
            {"num_return_sequences": 10**9, "do_sample": True},
            "1000000000 beams of up to 21 tokens with 1000 candidates",
        ),
        (
            {"num_beams": 2**63 - 1},
            "9223372036854775807 beams of up to 21 tokens with 1000 candidates each need",
        ),
    ],
)
def test_lengths_and_samples_are_counted_too(call: dict[str, Any], said: str) -> None:
    with refused(said):
        plan(Memory(machine_bytes=16 * GIB, cache_bytes=0), **call)


def test_where_the_memory_is_not_known_nothing_is_refused() -> None:
    assert plan(None, num_beams=10**6).num_beams == 10**6


def test_a_model_asks_its_machine(model: s2t_runtime.SpeechToText, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.plan(num_beams=5000).num_beams == 5000
    with refused("1000000000 beams of up to 64 tokens with 400 candidates each need at least"):
        model.plan(num_beams=10**9)
    with refused("9223372036854775807 beams"):
        model.generate("no/such.wav", num_beams=2**63 - 1)  # before any work


def test_memory_that_runs_out_all_the_same(
    model: s2t_runtime.SpeechToText, waveforms: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(s2t_runtime.model, "search", fail)
    message = (
        "memory ran out while decoding 2 utterances with 7 beams of up to 9 tokens: decode fewer at once, or pass a "
        "smaller num_beams or max_length"
    )
    with pytest.raises(SessionError, match="^" + re.escape(message) + "$"):
        model.generate(waveforms[:2], sampling_rate=16_000, num_beams=7, max_length=9)
