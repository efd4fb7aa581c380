"""Lengths of a search: which of several holds, what gives way, and what every refusal says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.lengths import Lengths, plan_lengths
from s2t_runtime.options.plan import SearchPlan, plan_search

Options = dict[str, Any]


def lengths(
    call: Options | None = None, bundle: Options | None = None, prompt: int = 1, positions: int | None = 128
) -> Lengths:
    return plan_lengths(
        GenerationOptions(**(bundle or {})), GenerationOptions(**(call or {})), prompt, positions
    )


def longest(*args: Any, **options: Any) -> int:
    return lengths(*args, **options).longest


def refused(message: str) -> Any:
    return pytest.raises(OptionError, match="^" + re.escape(message))


@pytest.mark.parametrize(
    ("call", "bundle", "prompt", "expected"),
    [
        ({}, {}, 1, 21),
        ({}, {}, 3, 23),
        ({}, {"max_length": 50}, 1, 50),
        ({"max_length": 60}, {"max_length": 50}, 1, 60),
        ({"max_new_tokens": 10}, {"max_length": 50}, 1, 11),
        ({"max_new_tokens": 10}, {"max_new_tokens": 4}, 1, 11),
        ({}, {"max_length": 50, "max_new_tokens": 4}, 1, 5),
        ({}, {"max_new_tokens": 4}, 3, 7),
    ],
)
def test_maximum_length(call: Options, bundle: Options, prompt: int, expected: int) -> None:
    assert longest(call, bundle, prompt) == expected


def test_a_call_goes_before_either_kind_of_default() -> None:
    """In transformers max_new_tokens of the checkpoint would win over max_length of the call."""
    assert longest({"max_length": 9}, {"max_new_tokens": 4}) == 9
    assert longest({"max_length": 9}, {"max_new_tokens": 400}) == 9
    found = lengths({"min_length": 3}, {"min_new_tokens": 6})
    assert (found.least, found.least_new) == (3, 0)


def test_the_last_token_needs_no_position() -> None:
    assert longest({"max_length": 129}) == 129
    assert longest({"max_new_tokens": 128}) == 129
    assert longest({"max_new_tokens": 126}, prompt=3) == 129
    assert longest({"max_new_tokens": 1}, prompt=128) == 129
    assert longest({"max_length": 5000}, positions=None) == 5000


def test_more_than_the_decoder_takes_is_refused_where_the_call_asks_for_it() -> None:
    with refused(
        "max_length 130 is beyond the 129 tokens that the decoder's 128 positions allow; ask for at most "
        "max_length=129 or max_new_tokens=128"
    ):
        lengths({"max_length": 130})
    with refused(
        "max_length 132 (max_new_tokens 129 and a prompt of 3) is beyond the 129 tokens that the decoder's 128 "
        "positions allow; ask for at most max_length=129 or max_new_tokens=126"
    ):
        lengths({"max_new_tokens": 129}, prompt=3)


@pytest.mark.parametrize("bundle", [{}, {"max_length": 64}, {"max_new_tokens": 12}, {"max_new_tokens": 13}])
def test_a_default_is_cut_at_what_the_decoder_takes(bundle: Options) -> None:
    assert longest(None, bundle, positions=12) == 13
    # The longer the prompt is, the less is left.
    assert longest(None, bundle, prompt=5, positions=12) == 13
    assert longest({"max_length": 11}, bundle, positions=12) == 11


def test_a_prompt_without_room() -> None:
    with refused(
        "a prompt of 4 tokens leaves no room to decode within 4 tokens, wanted a shorter one; shorten "
        "decoder_prompt_ids or raise max_length"
    ):
        lengths({"max_length": 4}, prompt=4)
    with refused("a prompt of 4 tokens leaves no room to decode within 4 tokens, wanted a shorter one"):
        lengths(None, {"max_length": 4}, prompt=4)
    with refused("a prompt of 4 tokens leaves no room to decode within 4 tokens, wanted a shorter one"):
        lengths(prompt=4, positions=3)
    assert longest(prompt=3, positions=3) == 4


def test_minimum_length() -> None:
    assert lengths({"min_length": 5}) == Lengths(21, 5, 0)
    assert lengths({"min_new_tokens": 5}, {"min_length": 9}) == Lengths(21, 6, 5)
    assert lengths(None, {"min_new_tokens": 5, "min_length": 9}, prompt=2) == Lengths(22, 7, 5)
    with refused(
        "a minimum length of 9 tokens is more than the maximum length of 5, prompt included; lower min_length "
        "or min_new_tokens, or raise max_length or max_new_tokens"
    ):
        lengths({"min_length": 9, "max_length": 5})
    with refused("a minimum length of 6 tokens is more than the maximum length of 5"):
        lengths({"min_new_tokens": 5}, {"max_length": 5})


@pytest.mark.parametrize("bundle", [{"min_length": 40}, {"min_new_tokens": 40}])
def test_a_default_minimum_gives_way_to_the_maximum(bundle: Options) -> None:
    """As in transformers, which warns: the text is as long as it may be."""
    assert lengths(None, {**bundle, "max_length": 20}).least == 20
    assert lengths({"max_new_tokens": 4}, bundle).least == 5
    assert lengths(None, bundle, positions=12).least == 13


def test_two_lengths_of_one_call_are_refused() -> None:
    with refused(
        "max_length 9 would be ignored: the call has max_new_tokens 5, which goes before it; pass one of them"
    ):
        lengths({"max_length": 9, "max_new_tokens": 5}, {"max_new_tokens": 4})
    with refused(
        "min_length 3 would be ignored: the call has min_new_tokens 1, which goes before it; pass one of them"
    ):
        lengths({"min_length": 3, "min_new_tokens": 1})


def test_the_plan_takes_them_over() -> None:
    def plan(**call: Any) -> SearchPlan:
        return plan_search(
            GenerationOptions(decoder_start_token_id=3, eos_token_id=2, max_new_tokens=9, min_new_tokens=4),
            GenerationOptions(**call),
            languages={},
            vocab_size=20,
            max_positions=12,
        )

    found = plan(decoder_prompt_ids=(3, 4, 5))
    assert (found.max_length, found.min_length, found.min_new_tokens) == (12, 7, 4)
    found = plan(decoder_prompt_ids=(3, 4, 5), min_length=5, max_length=6)
    assert (found.max_length, found.min_length, found.min_new_tokens) == (6, 5, 0)
    with refused("max_length 14 is beyond the 13 tokens that"):
        plan(max_length=14)
