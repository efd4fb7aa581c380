"""Decoding through an engine session equals ONNX Runtime's token by token, alone and from threads."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from support.engines.models import ONE, RATE, SEARCHES, TWO, differs, said, through_double
from support.engines.sets import Limits
from support.forks import in_fork
from support.restricted.bundles import restricted
from support.tiny import models as tiny_models

import s2t_runtime
from s2t_runtime import ClosedError, OptionError, SessionError, SpeechToText
from s2t_runtime.bundles.bundle import Bundle, open_bundle
from s2t_runtime.sessions.profiles.limits import ENCODER, FIRST_STEP, WITH_PAST


@pytest.mark.parametrize("first_step", [False, True])
@pytest.mark.parametrize("limits", [ONE, TWO], ids=["one profile", "two profiles"])
def test_digits_decode_as_onnx_runtime_decodes_them(
    digits: Bundle,
    model: SpeechToText,
    batches: list[list[Any]],
    limits: tuple[Limits, ...],
    first_step: bool,
) -> None:
    engines, executor = through_double(digits, *limits, first_step=first_step)
    with engines:
        assert not differs(model, engines, batches)
        used = Counter(program.profile for program in executor.enqueued)
        assert set(used) == set(range(len(limits)))
        firsts = sum(program.graph == FIRST_STEP for program in executor.enqueued)
        assert firsts == (len(batches) * len(SEARCHES) if first_step else 0)


@pytest.mark.parametrize("pair", tiny_models.PAIRS[1:3], ids=lambda pair: pair.name)
def test_tiny_pairs_decode_as_onnx_runtime_decodes_them(
    once: tiny_models.Once, pair: tiny_models.Pair
) -> None:
    opened = open_bundle(tiny_models.bundle(once, pair))
    rng = np.random.default_rng(5)
    batches = [
        [rng.normal(0, 0.1, length).astype(np.float32) for length in lengths]
        for lengths in ((9000,), (16_000, 7000, 12_345), (8000, 8000))
    ]
    most = opened.manifest.decoder.max_candidates
    options = {"num_beams": 4, "max_new_tokens": 15}
    with s2t_runtime.load(opened.root, threads=1) as reference:
        engines, _ = through_double(opened, Limits(candidates=most, batch=3))
        for batch in batches:
            found = engines.generate(batch, sampling_rate=RATE, **options)  # type: ignore[arg-type]
            wanted = reference.generate(batch, sampling_rate=RATE, **options)  # type: ignore[arg-type]
            assert [[h.tokens for h in r.hypotheses] for r in found] == [
                [h.tokens for h in r.hypotheses] for r in wanted
            ]
            for one, other in zip(found, wanted, strict=True):
                assert one.score == pytest.approx(other.score, abs=1e-5)


def test_a_restricted_vocabulary_decodes_as_onnx_runtime_decodes_it(once: tiny_models.Once) -> None:
    case = restricted(once, "decoder_with_past")
    limits = Limits(candidates=case.bundle.manifest.decoder.max_candidates)
    batch = [np.random.default_rng(5).normal(0, 0.1, 9000).astype(np.float32)]
    with s2t_runtime.load(case.bundle.root, threads=1) as reference:
        engines, _ = through_double(case.bundle, limits)
        # The last one fetches the logits.
        for options in ({"num_beams": 4}, {"num_beams": 1, "repetition_penalty": 0.7}):
            found = engines.generate(batch, sampling_rate=RATE, max_new_tokens=12, **options)  # type: ignore[arg-type]
            wanted = reference.generate(batch, sampling_rate=RATE, max_new_tokens=12, **options)  # type: ignore[arg-type]
            assert found[0].tokens == wanted[0].tokens
            assert found[0].score == pytest.approx(wanted[0].score, abs=1e-5)
            assert set(found[0].tokens) <= set(case.ids)
        with pytest.raises(
            OptionError, match="forced_bos_token_id has token 9, which this bundle cannot write"
        ):
            engines.generate(batch, sampling_rate=RATE, forced_bos_token_id=9)


def test_memory_is_allocated_once_and_for_the_largest_request(digits: Bundle, model: SpeechToText) -> None:
    limits = Limits(
        samples=(400, 24_000), frames=(1, 74), batch=2, beams=3, length=12, prompt=3, candidates=8
    )
    engines, executor = through_double(digits, limits)
    before = executor.allocated
    rng = np.random.default_rng(3)
    audios = [rng.normal(0, 0.1, 24_000).astype(np.float32), rng.normal(0, 0.1, 20_000).astype(np.float32)]
    options = {"num_beams": 3, "max_length": 12, "min_length": 12, "decoder_prompt_ids": [2, 5, 9]}
    found = engines.generate(audios, sampling_rate=RATE, **options)  # type: ignore[arg-type]
    assert said(found) == said(model.generate(audios, sampling_rate=RATE, **options))  # type: ignore[arg-type]
    assert max(len(hypothesis.tokens) for result in found for hypothesis in result.hypotheses) == 12
    assert executor.allocated == before
    # Two sets of caches: layers, key and value, rows, heads, tokens, head_dim, float32.
    info = digits.manifest.decoder
    assert before >= 2 * info.layers * 2 * (2 * 3) * info.heads * 12 * info.head_dim * 4
    assert before < 2 * 2**20


def test_only_tokens_rows_and_candidates_cross(
    digits: Bundle, batches: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, executor = through_double(digits, *ONE)
    crossed: list[int] = []
    original = executor.copy

    def copy(target: Any, source: Any, block: Any) -> None:
        if not (isinstance(target, int) and isinstance(source, int)):
            crossed.append(block.width)
        original(target, source, block)

    monkeypatch.setattr(executor, "copy", copy)
    (batch,) = [batch for batch in batches if len({len(audio) for audio in batch}) > 1][:1]
    crossed.clear()  # the zeros with which short utterances are padded crossed once
    engines.generate(batch, sampling_rate=RATE, num_beams=5)
    steps = sum(program.graph == WITH_PAST for program in executor.enqueued)
    encoded = sum(program.graph == ENCODER for program in executor.enqueued)
    assert encoded == len(batch)  # one by one, since padding would change them, and joined on the device
    assert len(crossed) == 2 * encoded + 4 * steps
    assert max(crossed[2 * encoded :]) < len(batch) * 5 * 16 * 8


def test_threads_wait_for_each_other(digits: Bundle, model: SpeechToText, batches: list[list[Any]]) -> None:
    engines, _ = through_double(digits, *ONE)
    wanted = [said(model.generate(batch, sampling_rate=RATE)) for batch in batches]
    found: dict[int, Any] = {}

    def work(index: int) -> None:
        found[index] = said(engines.generate(batches[index % len(batches)], sampling_rate=RATE))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(6)] == [wanted[index % len(wanted)] for index in range(6)]


def test_a_callback_cannot_decode(digits: Bundle, batches: list[list[Any]]) -> None:
    engines, _ = through_double(digits, *ONE)
    message = (
        "generate was called from a callback of generate, but engines have one set of buffers: decode after "
        "the first call has returned, or use provider 'cpu'"
    )
    with pytest.raises(SessionError, match=f"^{message}$"):
        engines.generate(
            batches[0],
            sampling_rate=RATE,
            on_token=lambda _: engines.generate(batches[0], sampling_rate=RATE),
        )
    engines.generate(batches[0], sampling_rate=RATE)  # the first call has let go of the buffers


def test_memory_is_freed_once_and_after_the_call_in_progress(
    digits: Bundle, model: SpeechToText, batches: list[list[Any]]
) -> None:
    engines, executor = through_double(digits, *ONE)
    closed_during: list[int] = []

    def close(_: object) -> None:
        engines.close()
        closed_during.append(executor.closed)

    found = engines.generate(batches[0], sampling_rate=RATE, on_token=close)
    assert said(found) == said(model.generate(batches[0], sampling_rate=RATE))
    assert set(closed_during) == {0}
    assert executor.closed == 1
    with pytest.raises(ClosedError):
        engines.generate(batches[0], sampling_rate=RATE)
    engines.close()
    assert executor.closed == 1


def test_a_call_that_waited_for_a_session_that_closed(digits: Bundle, batches: list[list[Any]]) -> None:
    engines, executor = through_double(digits, *ONE)
    errors: list[BaseException] = []
    waiting: list[threading.Thread] = []

    def work() -> None:
        try:
            engines.generate(batches[0], sampling_rate=RATE)
        except ClosedError as error:
            errors.append(error)

    def close(_: object) -> None:
        if not waiting:
            waiting.append(threading.Thread(target=work))
            waiting[0].start()
            engines.close()

    engines.generate(batches[0], sampling_rate=RATE, on_token=close)
    waiting[0].join()
    assert len(errors) == 1
    assert executor.closed == 1


def test_rows_outside_the_cache_never_reach_the_engine(digits: Bundle) -> None:
    engines, executor = through_double(digits, *ONE)
    session: Any = engines._session
    state = session.start(session.encode(np.ones((1, 8000), dtype=np.float32), np.array([8000])))
    message = "beam_index runs from 1 to 1, but the cache has 1 rows"
    with pytest.raises(SessionError, match=f"^{message}$"):
        state(np.array([[[2]]]), np.array([[1]]), 3)
    assert [program.graph for program in executor.enqueued] == [ENCODER]


def test_a_fork_refuses_and_leaves_the_device_alone(digits: Bundle, batches: list[list[Any]]) -> None:
    held = list(through_double(digits, *ONE))
    engines, executor = held
    alive = weakref.ref(executor)

    def refused() -> str:
        try:
            engines.generate(batches[0], sampling_rate=RATE)
        except SessionError as error:
            engines.close()
            return f"{executor.closed} times closed: {error}"
        return "not refused"

    said = in_fork(refused)
    assert said.startswith(
        f"0 times closed: the model was loaded in process {os.getpid()} and is used in process "
    )
    del engines, executor

    def kept() -> bool:
        held.clear()
        gc.collect()
        return alive() is not None

    assert in_fork(kept) == "True"
    engines, executor = held
    engines.close()
    assert executor.closed == 1


def test_a_callback_that_forks_leaves_generate_in_the_child(digits: Bundle, batches: list[list[Any]]) -> None:
    engines, executor = through_double(digits, *ONE)
    children: list[int] = []
    here, outcome = os.getpid(), 1
    try:
        engines.generate(
            batches[0], sampling_rate=RATE, on_token=lambda _: children or children.append(os.fork())
        )
    except SessionError:
        engines.close()
        outcome = 2 if executor.closed else 7
    finally:
        if os.getpid() != here:  # nothing of the tests' process may run on in the child
            os._exit(outcome)
    _, status = os.waitpid(children[0], 0)
    assert os.waitstatus_to_exitcode(status) == 7
    engines.close()
    assert executor.closed == 1
