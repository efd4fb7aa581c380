"""Options of a TensorRT build: how they are typed, and what contradicts what."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.engines.options import AudioSpan, EngineOptions, parse_spans, parse_targets
from exporter.errors import ExportError


@pytest.mark.parametrize(
    ("names", "targets"),
    [
        ((), None),
        (("portable",), ()),
        (("sm86",), ("sm86",)),
        (("sm120", "sm89", "sm86"), ("sm86", "sm89", "sm120")),
    ],
)
def test_targets(names: tuple[str, ...], targets: tuple[str, ...] | None) -> None:
    assert parse_targets(names) == targets


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("sm86", "ampere"),
            "target ampere is none: name compute capabilities like sm86,sm89, or portable alone",
        ),
        (
            ("sm86", "portable"),
            "target portable is none: name compute capabilities like sm86,sm89, or portable alone",
        ),
        (("sm86", "sm86"), "targets sm86, sm86 name one twice: name each once"),
    ],
)
def test_wrong_targets(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ExportError) as caught:
        parse_targets(names)
    assert str(caught.value) == message


def test_spans() -> None:
    assert parse_spans(("short:1-5s", "long:5-30.5s")) == (
        AudioSpan("short", 1.0, 5.0),
        AudioSpan("long", 5.0, 30.5),
    )


@pytest.mark.parametrize(
    "text", ["short", "1-5s", "short:1-5", "short:1s-5s", "short:5s", ":1-5s", "a:-1-5s"]
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ExportError) as caught:
        parse_spans((text,))
    assert (
        str(caught.value) == f"profile {text!r} is not NAME:MIN-MAXs: write for example short:1-5s,long:5-30s"
    )


def test_a_span_the_wrong_way_round() -> None:
    with pytest.raises(ExportError) as caught:
        parse_spans(("short:5-1s",))
    assert str(caught.value) == "profile 'short:5-1s' ends before it begins: write the shorter length first"


SHORT = AudioSpan("short", 1, 5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flavour": "cuda"}, "flavour 'cuda' is unknown: choose one of tensorrt, tensorrt-rtx"),
        (
            {"flavour": "tensorrt", "targets": ("sm86",)},
            "full TensorRT builds for the GPU of this machine and takes no targets: leave out --targets, or take "
            "--flavour tensorrt-rtx",
        ),
        ({"max_batch": 0}, "max_batch is 0; it must be at least 1"),
        ({"max_beams": -1}, "max_beams is -1; it must be at least 1"),
        ({"max_length": 0}, "max_length is 0; it must be at least 1"),
        ({"max_prompt": 0}, "max_prompt is 0; it must be at least 1"),
        ({"max_audio_s": 0.0}, "max_audio_s is 0.0; it must be a positive number of seconds"),
        ({"max_audio_s": float("inf")}, "max_audio_s is inf; it must be a positive number of seconds"),
        (
            {"max_audio_s": 5.0, "spans": (SHORT,)},
            "profiles say how long audio may be, and so does max_audio_s: give --profile or --max-audio-seconds",
        ),
        (
            {"spans": (SHORT, SHORT)},
            "profiles short, short name one twice: give each a name of its own",
        ),
    ],
)
def test_wrong_options(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError) as caught:
        EngineOptions(**fields)
    assert str(caught.value) == message
