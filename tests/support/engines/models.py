"""Models whose engines are played by the executor double, and what is decoded with them."""

from __future__ import annotations

from typing import Any

from support.doubles.engine_executor import ExecutorDouble
from support.engines.sets import Limits, engine_set, graph_files

from s2t_runtime import Result, SpeechToText
from s2t_runtime.bundles.bundle import Bundle
from s2t_runtime.sessions.engines.session import EngineSession

RATE = 16_000
ONE = (Limits(),)
# The utterances of the longest batch have lengths on both sides of the border.
TWO = (Limits("short", (400, 26_000), (1, 90)), Limits("long", (26_001, 480_000), (1, 1500)))
SEARCHES: tuple[dict[str, Any], ...] = (
    {"num_beams": 1},
    {"num_beams": 4},
    {"num_beams": 5, "num_return_sequences": 3},
    {"num_beams": 1, "do_sample": True, "num_return_sequences": 3, "seed": 7},
    {"num_beams": 3, "repetition_penalty": 0.7},  # raises scores, so that the logits are fetched
    {"num_beams": 2, "decoder_prompt_ids": [2, 5, 9], "max_length": 20},
)


def through_double(
    bundle: Bundle, *limits: Limits, first_step: bool = False
) -> tuple[SpeechToText, ExecutorDouble]:
    engines = engine_set(bundle, *limits, first_step=first_step)
    executor = ExecutorDouble(engines, graph_files(bundle))
    session = EngineSession(engines, executor, padding_safe=bundle.manifest.audio.padding_safe)
    return SpeechToText(bundle, session), executor


def said(results: list[Result]) -> list[list[tuple[Any, ...]]]:
    """All that a search found, to the last bit."""
    return [[(h.tokens, h.score, h.log_probs) for h in result.hypotheses] for result in results]


def differs(reference: SpeechToText, model: SpeechToText, batches: list[list[Any]]) -> bool:
    return any(
        said(reference.generate(batch, sampling_rate=RATE, **options))
        != said(model.generate(batch, sampling_rate=RATE, **options))
        for batch in batches
        for options in SEARCHES
    )
