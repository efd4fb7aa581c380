"""Bugs that a session over device memory is prone to, planted one by one: each is refused or changes the tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.doubles.engine_executor import ExecutorDouble, RefusedError
from support.engines.models import ONE, TWO, differs, through_double

from s2t_runtime import SpeechToText
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.sessions.engines import binding as engine_binding
from s2t_runtime.sessions.engines.decoding import EngineDecoding
from s2t_runtime.sessions.engines.executor import Program
from s2t_runtime.sessions.engines.session import EngineSession
from s2t_runtime.sessions.profiles.limits import ENCODER, ProfileLimits

Plant = Callable[[pytest.MonkeyPatch], None]


def caches_that_are_not_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    original = EngineDecoding.__call__

    def call(self: EngineDecoding, *arguments: Any, **keywords: Any) -> Any:
        newest = self._newest
        try:
            return original(self, *arguments, **keywords)
        finally:
            self._newest = newest

    monkeypatch.setattr(EngineDecoding, "__call__", call)


def a_cache_that_is_written_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    original = EngineDecoding._bind_outputs

    def bind(self: EngineDecoding, program: Program) -> None:
        self._newest = 1 - self._newest
        original(self, program)
        self._newest = 1 - self._newest

    monkeypatch.setattr(EngineDecoding, "_bind_outputs", bind)
    caches_that_are_not_swapped(monkeypatch)


def an_output_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineDecoding, "_bind_outputs", lambda *_: None)


def an_input_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ExecutorDouble.set_address

    def forget(self: ExecutorDouble, program: Program, name: str, address: int) -> None:
        if name != "cross_value.1" or program.graph == ENCODER:
            original(self, program, name, address)

    monkeypatch.setattr(ExecutorDouble, "set_address", forget)


def no_synchronise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExecutorDouble, "synchronise", lambda _: None)


def always_the_first_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProfileLimits, "pick", lambda *_: 0)


def integers_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    types = {**engine_binding.NUMPY_TYPES, "int64": np.int32}
    monkeypatch.setattr(engine_binding, "NUMPY_TYPES", types)


@pytest.mark.parametrize(
    ("plant", "complaint"),
    [
        (caches_that_are_not_swapped, "was never written"),
        (a_cache_that_is_written_where_it_is_read, "overlaps another tensor"),
        (an_output_without_address, "no address is set for output logits"),
        (an_input_without_address, r"no address is set for input cross_value\.1"),
        (no_synchronise, "the host reads what a pending call writes"),
        (always_the_first_profile, "outside profile 0"),
        (integers_of_32_bits, r"is int64, its memory holds int32"),
    ],
)
def test_what_a_device_could_not_say_is_refused(
    digits: Bundle,
    batches: list[list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    complaint: str,
) -> None:
    engines, _ = through_double(digits, *TWO)
    plant(monkeypatch)
    with pytest.raises(RefusedError, match=complaint):
        differs(engines, engines, batches)


def beams_that_are_not_reordered(monkeypatch: pytest.MonkeyPatch) -> None:
    original = EngineDecoding.__call__

    def call(self: EngineDecoding, tokens: Any, beam_index: Any, *rest: Any, **keywords: Any) -> Any:
        if len(self.step_times_s) > 1:
            beam_index = np.arange(beam_index.size).reshape(beam_index.shape)
        return original(self, tokens, beam_index, *rest, **keywords)

    monkeypatch.setattr(EngineDecoding, "__call__", call)


def the_caches_of_an_earlier_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right memory in the wrong step: only from the fourth step on, when both sets were written."""
    original = EngineDecoding._shape

    def stale(self: EngineDecoding, tensor: Any) -> Any:
        self._newest = 0 if len(self.step_times_s) % 2 == 0 else 1
        return original(self, tensor)

    monkeypatch.setattr(EngineDecoding, "_shape", stale)
    original_call = EngineDecoding.__call__

    def call(self: EngineDecoding, *arguments: Any, **keywords: Any) -> Any:
        result = original_call(self, *arguments, **keywords)
        if len(self.step_times_s) == 3:
            caches = self._buffers.caches
            for name in caches[0]:
                executor: Any = self._executor
                lost = executor._find(caches[self._newest][name].address, caches[0][name].size)
                lost[:] = executor._find(caches[1 - self._newest][name].address, caches[0][name].size)
        return result

    monkeypatch.setattr(EngineDecoding, "__call__", call)


def padding_that_is_not_zeroed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ExecutorDouble.copy

    def copy(self: ExecutorDouble, target: Any, source: Any, block: Any) -> None:
        written = isinstance(source, int) and self._dtype(source) == "uint8"
        if not written:
            original(self, target, source, block)

    monkeypatch.setattr(ExecutorDouble, "copy", copy)


def encoded_utterances_that_lie_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    original = EngineSession.encode

    def encode(self: EngineSession, *arguments: Any) -> Any:
        self._used = 0
        return original(self, *arguments)

    monkeypatch.setattr(EngineSession, "encode", encode)


@pytest.mark.parametrize(
    "plant",
    [
        beams_that_are_not_reordered,
        the_caches_of_an_earlier_step,
        padding_that_is_not_zeroed,
        encoded_utterances_that_lie_on_each_other,
    ],
)
def test_what_no_device_would_refuse_changes_the_tokens(
    digits: Bundle,
    model: SpeechToText,
    batches: list[list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
) -> None:
    engines, _ = through_double(digits, *ONE)
    plant(monkeypatch)
    assert differs(model, engines, batches)
