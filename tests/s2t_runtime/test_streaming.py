"""What a search tells while it runs, and ``on_token`` over a real bundle."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from s2t_runtime import SpeechToText, TokenEvent
from s2t_runtime.search.search import SearchResult, search

EOS = 1
Told = tuple[int, int, tuple[int, ...], bool]


def random_script(seed: int, vocab: int = 8) -> Callable[..., list[float]]:
    def script(utterance: int, history: tuple[int, ...]) -> list[float]:
        return np.random.default_rng((seed, utterance, *history)).normal(size=vocab).tolist()

    return script


def watched(step: Any, plan: Any, batch: int, **keywords: Any) -> tuple[SearchResult, list[Told]]:
    told: list[Told] = []
    result = search(
        step, plan, batch, max_candidates=8, observe=lambda *event: told.append(event), **keywords
    )
    return result, told


def check_promises(result: SearchResult, told: list[Told], sequences: int) -> None:
    """One final event for each sequence, its last one, with the result's tokens."""
    for utterance, ranked in enumerate(result.hypotheses):
        for sequence, hypothesis in enumerate(ranked[:sequences]):
            events = [event for event in told if event[:2] == (utterance, sequence)]
            assert [final for *_, final in events] == [False] * (len(events) - 1) + [True]
            assert events[-1][2] == hypothesis.tokens
    assert {event[1] for event in told} == set(range(sequences))


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 3, "num_return_sequences": 3}])
def test_every_token_is_told_as_it_is_chosen(scripted: Any, plan_of: Any, options: dict[str, Any]) -> None:
    plan, lengths = plan_of(max_new_tokens=7, **options), set()
    for seed in range(4):
        result, told = watched(scripted(random_script(seed)), plan, 3)
        check_promises(result, told, options.get("num_return_sequences", 1))
        for utterance, ranked in enumerate(result.hypotheses):
            for sequence, hypothesis in enumerate(ranked):
                so_far = [tokens for *key, tokens, _ in told if key == [utterance, sequence]]
                assert so_far == [hypothesis.tokens[:end] for end in range(2, len(hypothesis.tokens) + 1)]
                lengths.add(len(hypothesis.tokens))
        # Step by step, and in each step utterances in order.
        order = [(len(tokens), utterance, sequence) for utterance, sequence, tokens, _ in told]
        assert order == sorted(order)
    assert len(lengths) > 1  # some end before others


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("drawn", [False, True])
def test_beams_tell_the_best_so_far(scripted: Any, plan_of: Any, early_stopping: Any, drawn: bool) -> None:
    options = {"do_sample": True, "seed": 1} if drawn else {}
    plan = plan_of(
        num_beams=3, num_return_sequences=3, max_new_tokens=9, early_stopping=early_stopping, **options
    )
    replaced = 0
    for seed in range(8):
        result, told = watched(scripted(random_script(seed)), plan, 2)
        check_promises(result, told, 1)
        for utterance in range(2):
            so_far = [tokens for one, _, tokens, _ in told if one == utterance]
            replaced += sum(after[: len(before)] != before for before, after in itertools.pairwise(so_far))
        unwatched = search(scripted(random_script(seed)), plan, 2, max_candidates=8)
        assert unwatched == result
    assert replaced > 0  # as is promised, an event may be taken back


def test_a_finished_hypothesis_is_told_while_it_is_the_best(scripted: Any, plan_of: Any) -> None:
    def script(_: int, history: tuple[int, ...]) -> list[float]:
        # An end at once is likely, and of what goes on nothing is as good for its length.
        likely = {(0,): {EOS: 5.0, 3: 4.0}}.get(history, {})
        return [likely.get(token, 0.0) for token in range(8)]

    plan = plan_of(num_beams=2, max_new_tokens=4, early_stopping="never", length_penalty=0.0)
    _, told = watched(scripted(script), plan, 1)
    assert told[0] == (0, 0, (0, EOS), False)
    assert told[-1] == (0, 0, (0, EOS), True)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}])
def test_a_stopped_search_tells_what_it_ends_with(
    scripted: Any, plan_of: Any, options: dict[str, Any]
) -> None:
    step = scripted(random_script(4))
    plan = plan_of(max_new_tokens=9, min_new_tokens=9, **options)
    result, told = watched(step, plan, 2, stop=lambda: len(step.calls) == 2)
    assert result.stopped
    check_promises(result, told, plan.num_return_sequences if plan.num_beams == 1 else 1)


@pytest.mark.parametrize("beams", [1, 3])
def test_an_exception_ends_the_search(scripted: Any, plan_of: Any, beams: int) -> None:
    step = scripted(random_script(4))

    def observe(_: int, __: int, tokens: tuple[int, ...], ___: bool) -> None:
        if len(tokens) == 3:
            raise KeyError("enough")

    plan = plan_of(num_beams=beams, max_new_tokens=9, min_new_tokens=9)
    with pytest.raises(KeyError, match="enough"):
        search(step, plan, 1, max_candidates=8, observe=observe)
    assert len(step.calls) == 2


# A real bundle

RATE = 16_000


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 1},
        {"num_beams": 4, "num_return_sequences": 2},
        {"do_sample": True, "seed": 7, "num_beams": 1, "num_return_sequences": 3},
        {"do_sample": True, "seed": 7, "num_beams": 3},
    ],
)
def test_on_token(model: SpeechToText, waveforms: list[NDArray[np.float32]], options: dict[str, Any]) -> None:
    events: list[TokenEvent] = []
    chosen = waveforms[:2]
    results = model.generate(
        chosen, sampling_rate=RATE, language="de", max_new_tokens=12, on_token=events.append, **options
    )
    assert results == [
        type(result)(**{**vars(result), "timings_s": again.timings_s})
        for result, again in zip(
            model.generate(chosen, sampling_rate=RATE, language="de", max_new_tokens=12, **options),
            results,
            strict=True,
        )
    ]
    sequences = options.get("num_return_sequences", 1) if options["num_beams"] == 1 else 1
    for utterance, result in enumerate(results):
        for sequence in range(sequences):
            told = [event for event in events if (event.utterance, event.sequence) == (utterance, sequence)]
            hypothesis = result.hypotheses[sequence]
            assert told[-1] == TokenEvent(utterance, sequence, hypothesis.tokens, hypothesis.text, final=True)
            assert not any(event.final for event in told[:-1])
            assert told[0].text == ""  # the start and the language are no text
            assert len({event.text for event in told}) > 1


def test_what_on_token_raises_comes_out(model: SpeechToText, waveforms: list[NDArray[np.float32]]) -> None:
    def on_token(event: TokenEvent) -> None:
        raise LookupError(event.tokens)

    with pytest.raises(LookupError):
        model.generate(waveforms[0], sampling_rate=RATE, on_token=on_token)
    assert model.generate(waveforms[0], sampling_rate=RATE).tokens  # nothing is left behind
