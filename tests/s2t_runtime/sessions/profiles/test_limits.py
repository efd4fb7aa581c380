"""Which profile serves a request, and what is said where none does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.engines.sets import Limits, engine_set

from s2t_runtime import AudioError, OptionError
from s2t_runtime.bundles.bundle import open_bundle
from s2t_runtime.sessions.engines.engine_set import EngineSet
from s2t_runtime.sessions.profiles.limits import ENCODER, FIRST_STEP, WITH_PAST
from s2t_runtime.sessions.protocol import Request

SHORT = Limits("short", (400, 80_000), (1, 249), candidates=40)
LONG = Limits("long", (80_001, 480_000), (250, 1499), candidates=40)
WIDE = Limits("wide", (400, 480_000), (1, 1499), candidates=40)
FITTING = Request(((1, 480_000),), beams=5, prompt_length=1, max_length=64)


@pytest.fixture(scope="module")
def engines(digits_bundle: Path) -> EngineSet:
    return engine_set(open_bundle(digits_bundle), WIDE)


@pytest.fixture(scope="module")
def several(digits_bundle: Path) -> EngineSet:
    return engine_set(open_bundle(digits_bundle), WIDE, SHORT, LONG)


def test_the_profile_for_the_smallest_sizes_is_taken(several: EngineSet) -> None:
    picks = [
        several.limits.pick(ENCODER, {"batch": 1, "samples": samples})
        for samples in (400, 80_000, 80_001, 480_000)
    ]
    assert picks == [1, 1, 0, 0]  # of two that are equally wide the first
    assert several.limits.pick(WITH_PAST, {"batch": 1, "frames": 249, "past": 3}) == 1


def test_a_request_within_the_profiles_passes(engines: EngineSet, digits_bundle: Path) -> None:
    engines.limits.check(FITTING)
    engines.limits.check(Request(((1, 400),) * 4, beams=5, prompt_length=8, max_length=64))
    first = engine_set(open_bundle(digits_bundle), WIDE, first_step=True)
    first.limits.check(FITTING)
    assert set(first.limits.profiles) == {ENCODER, WITH_PAST, FIRST_STEP}


def refused(engines: EngineSet, request: Request, text: str, line: str, kind: type[Exception]) -> None:
    flags = f"compile-s2t {engines.bundle} --flavour tensorrt-rtx --precision fp32 --targets portable {line}"
    message = (
        f"{text.replace('HERE', f'the engines in {engines.folder.name}')}: `{flags}` builds engines that take it; or "
        "use provider 'cpu'"
    )
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        engines.limits.check(request)


def flags(seconds: str = "30", batch: int = 4, beams: int = 5, length: int = 64, prompt: int = 8) -> str:
    return (
        f"--max-audio-seconds {seconds} --max-batch {batch} --max-beams {beams} --max-length {length} "
        f"--max-prompt {prompt}"
    )


def test_each_axis_is_named_with_its_limit_and_the_line_that_widens_it(engines: EngineSet) -> None:
    refused(
        engines,
        Request(((1, 720_000),), 5, 1, 64),
        "samples (samples of audio) is 720000, but HERE take 400 .. 480000",
        flags(seconds="45"),
        AudioError,
    )
    refused(
        engines,
        Request(((8, 16_000),), 5, 1, 64),
        "batch (utterances at once) is 8, but HERE take 1 .. 4",
        flags(batch=8),
        OptionError,
    )
    refused(
        engines,
        Request(((1, 16_000),) * 6, 5, 1, 64),
        "batch (utterances at once) is 6, but HERE take 1 .. 4",
        flags(batch=6),
        OptionError,
    )
    refused(
        engines,
        Request(((1, 16_000),), 8, 1, 64),
        "beams (sequences per utterance) is 8, but HERE take 1 .. 5",
        flags(beams=8),
        OptionError,
    )
    refused(
        engines,
        Request(((1, 16_000),), 5, 1, 100),
        "past (tokens in the cache) is 98, but HERE take 0 .. 63",
        flags(length=99),
        OptionError,
    )
    refused(
        engines,
        Request(((1, 16_000),), 5, 12, 64),
        "new (tokens fed at once) is 12, but HERE take 1 .. 8",
        flags(prompt=12),
        OptionError,
    )


def test_the_prompt_of_a_first_step_engine_has_a_limit_of_its_own(digits_bundle: Path) -> None:
    engines = engine_set(open_bundle(digits_bundle), WIDE, first_step=True, targets=("sm86", "sm89"))
    with pytest.raises(
        OptionError, match=r"^prompt \(tokens of the prompt\) is 12, but .* take 1 \.\. 8: "
    ) as caught:
        engines.limits.check(Request(((1, 16_000),), 5, 12, 64))
    assert "--targets sm86,sm89 --first-step-engine " in str(caught.value)


def test_audio_between_two_profiles(digits_bundle: Path) -> None:
    late = Limits("late", (100_000, 480_000), (300, 1499))
    engines = engine_set(open_bundle(digits_bundle), SHORT, late)
    with pytest.raises(AudioError, match=r"^samples .* is 90000, but .* take 400 \.\. 80000: "):
        engines.limits.check(Request(((1, 90_000),), 5, 1, 64))


def test_full_tensorrt_is_told_no_targets(digits_bundle: Path) -> None:
    engines = engine_set(open_bundle(digits_bundle), WIDE, flavour="tensorrt", targets=("sm90",))
    assert "--flavour tensorrt --precision fp32 --max-audio" in engines.compile_line()


def test_the_line_is_one_that_compile_s2t_takes_and_that_allows_the_request(engines: EngineSet) -> None:
    import shlex

    from exporter.commands.compile import main

    program, *arguments = shlex.split(engines.compile_line("samples", 480_001))
    assert program == "compile-s2t"
    values = main.make_context(program, arguments).params
    given = {name: values[name] for name in ("max_batch", "max_beams", "max_length", "max_prompt")}
    assert given == {"max_batch": 4, "max_beams": 5, "max_length": 64, "max_prompt": 8}
    assert round(values["max_audio_s"] * 16_000) == 480_001
