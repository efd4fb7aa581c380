"""Decoders of a tokenizer.json and the joining rules that they come to; test_files.py has each kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders

from exporter.tokenizers.joining_rules import (
    WHITE_SPACE,
    beginning_of_none,
    fuse,
    joining_rule,
    replace,
    trim,
    with_text_cleanup,
)
from s2t_runtime.bundles.manifest import Detokenizer, JoiningStep


def stated(decoder: decoders.Decoder | None) -> dict[str, Any] | None:
    return None if decoder is None else json.loads(decoder.__getstate__())


def library(decoder: dict[str, Any]) -> Tokenizer:
    model = {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}
    return Tokenizer.from_str(json.dumps({"added_tokens": [], "model": model, "decoder": decoder}))


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.Replace(Regex("a"), "b"),
        decoders.Replace("", "b"),
        decoders.Strip(" ", 1, 1),
        decoders.BPEDecoder(""),
        decoders.CTC(pad_token=""),
        decoders.Sequence([decoders.Metaspace(), decoders.Replace(Regex("a"), "b")]),
    ],
)
def test_a_decoder_that_no_step_describes(decoder: decoders.Decoder) -> None:
    assert joining_rule(stated(decoder), cleanup=False) is None


def test_a_decoder_of_a_later_library() -> None:
    assert joining_rule({"type": "Telepathy"}, cleanup=False) is None


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.Metaspace(prepend_scheme="never"),
        decoders.Sequence([decoders.Metaspace(prepend_scheme="never"), decoders.Fuse()]),
        decoders.Sequence([decoders.Sequence([decoders.Metaspace(prepend_scheme="never")]), decoders.Fuse()]),
    ],
)
def test_what_has_a_name_is_stated_by_it(decoder: decoders.Decoder) -> None:
    # Hosts of format version 1 know the three names, and no steps.
    assert joining_rule(stated(decoder), cleanup=True) == Detokenizer(
        "metaspace", replacement="▁", prepend_scheme="never", clean_up_tokenization_spaces=True
    )


def test_fuse_alone_stays() -> None:
    rule = joining_rule(stated(decoders.Fuse()), cleanup=False)
    assert rule == Detokenizer("steps", steps=(JoiningStep("join", content=""),))


@given(text=st.text(st.sampled_from(WHITE_SPACE + "ab\u200b\u2060\ufeff\u180e"), max_size=8))
@settings(max_examples=400, deadline=None)
def test_trim_is_pythons_strip(text: str) -> None:
    decoder = library(trim()).decoder
    assert decoder is not None
    assert decoder.decode([text]) == text.strip() == text.strip(WHITE_SPACE)


def test_trim_is_known_again() -> None:
    sequence = {"type": "Sequence", "decoders": [fuse(), replace("▁", " "), trim()]}
    rule = joining_rule(json.loads(library(sequence).to_str())["decoder"], cleanup=False)
    assert rule is not None
    assert [step.step for step in rule.steps] == ["join", "replace", "trim"]
    assert rule.steps[2].content == WHITE_SPACE


def test_a_clean_up_after_no_decoder_keeps_its_spaces() -> None:
    tokens = ["\nit", "'s", "\n\nlate", "."]
    decoder = library(with_text_cleanup(None, beginning_of_none(tokens))).decoder
    assert decoder is not None
    assert decoder.decode(tokens) == "\nit's \n\nlate."
    assert not any(token.startswith(beginning_of_none(tokens)) for token in tokens)
