"""Options: how they merge into a plan, and what every refusal says."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search

LANGUAGES = {"en_XX": 7, "de_DE": 8}


def plan(
    call: dict[str, Any] | None = None,
    bundle: dict[str, Any] | None = None,
    languages: dict[str, int] | None = None,
    max_positions: int | None = 128,
) -> SearchPlan:
    defaults = {"decoder_start_token_id": 3, "eos_token_id": 2, **(bundle or {})}
    return plan_search(
        GenerationOptions(**defaults),
        GenerationOptions(**(call or {})),
        languages=LANGUAGES if languages is None else languages,
        vocab_size=20,
        max_positions=max_positions,
    )


def refused(message: str) -> Any:
    return pytest.raises(OptionError, match="^" + re.escape(message))


def test_transformers_defaults_where_nothing_is_set() -> None:
    assert plan() == SearchPlan(
        prompt=(3,), num_beams=1, num_return_sequences=1, max_length=21, min_length=0, min_new_tokens=0,
        length_penalty=1.0, early_stopping=False, eos_token_ids=(2,), pad_token_id=2,
        forced_bos_token_id=None, forced_eos_token_ids=(), suppress_tokens=(), begin_suppress_tokens=(),
        begin_index=1, no_repeat_ngram_size=0, repetition_penalty=1.0, bad_words_ids=(), vocab_size=20,
        language=None,
    )  # fmt: skip


def test_the_call_goes_before_the_bundle() -> None:
    bundle = {"num_beams": 5, "length_penalty": 0.5, "suppress_tokens": [4], "early_stopping": True}
    found = plan({"num_beams": 2, "suppress_tokens": ()}, bundle)
    assert (found.num_beams, found.length_penalty, found.early_stopping) == (2, 0.5, True)
    assert found.suppress_tokens == ()
    assert plan({"early_stopping": False}, bundle).early_stopping is False


def test_lists_and_numpy_numbers_are_normalised() -> None:
    options = GenerationOptions(
        eos_token_id=[2, 5], forced_eos_token_id=4, num_beams=np.int64(3), bad_words_ids=[[1, 2], [3]],
        repetition_penalty=2, length_penalty=np.float32(0.5),
    )  # fmt: skip
    assert (options.eos_token_id, options.forced_eos_token_id) == ((2, 5), (4,))
    assert options.bad_words_ids == ((1, 2), (3,))
    assert type(options.num_beams) is int
    assert type(options.repetition_penalty) is type(options.length_penalty) is float


def test_dict_round_trip_is_json() -> None:
    options = GenerationOptions(num_beams=3, eos_token_id=2, bad_words_ids=((1, 2),), early_stopping="never")
    values = json.loads(json.dumps(options.to_dict()))
    assert values == {
        "num_beams": 3, "early_stopping": "never", "eos_token_id": [2], "bad_words_ids": [[1, 2]],
    }  # fmt: skip
    assert GenerationOptions.from_dict(values) == options
    assert GenerationOptions().to_dict() == {}


def test_from_dict_refuses_unknown_names() -> None:
    known = ", ".join(sorted(field.name for field in fields(GenerationOptions)))
    with refused(f"unknown decoding options: beams, width; the known ones are {known}; correct the name"):
        GenerationOptions.from_dict({"width": 5, "beams": 1, "num_beams": 2})


def test_prompt() -> None:
    assert plan({"decoder_prompt_ids": (4, 5)}).prompt == (3, 4, 5)
    assert plan({"decoder_prompt_ids": (3, 4)}).prompt == (3, 4)
    assert plan({"decoder_prompt_ids": ()}).prompt == (3,)
    assert plan({"decoder_start_token_id": 6}).prompt == (6,)
    start = GenerationOptions(bos_token_id=5, eos_token_id=2)
    found = plan_search(start, GenerationOptions(), languages={}, vocab_size=20, max_positions=None)
    assert found.prompt == (5,)
    with refused("no start token: neither decoder_start_token_id nor bos_token_id is set in the call or the"):
        plan_search(GenerationOptions(), start.__class__(), languages={}, vocab_size=20, max_positions=None)
    with refused("a prompt of 4 tokens leaves no room to decode within 4 tokens, wanted a shorter one"):
        plan({"decoder_prompt_ids": (3, 4, 5, 6), "max_length": 4})


def test_padding_falls_back_to_the_first_end_token() -> None:
    assert plan({"eos_token_id": (5, 2)}).pad_token_id == 5
    assert plan({"pad_token_id": 1}).pad_token_id == 1
    assert plan({"eos_token_id": ()}).pad_token_id is None


def test_begin_index() -> None:
    assert plan({"forced_bos_token_id": 7}).begin_index == 2
    assert plan({"decoder_prompt_ids": (3, 4)}).begin_index == 2
    # As in transformers, a default that is not applied does not move the index.
    assert plan({"decoder_prompt_ids": (3, 4)}, {"forced_bos_token_id": 7}).begin_index == 2


def test_language_forces_its_token() -> None:
    for call in (
        {"language": "de_DE"},
        {"forced_bos_token_id": 8},
        {"language": "de_DE", "forced_bos_token_id": 8},
    ):
        found = plan(call, {"forced_bos_token_id": 7})
        assert (found.forced_bos_token_id, found.language) == (8, "de_DE")
    assert plan({}, {"language": "en_XX"}).language == "en_XX"
    assert plan({"forced_bos_token_id": 9}, {"language": "en_XX"}).language is None
    assert plan({}, {"forced_bos_token_id": 9}).forced_bos_token_id == 9


def test_a_default_first_token_is_not_applied_after_a_longer_prompt() -> None:
    for bundle in ({"forced_bos_token_id": 7}, {"language": "en_XX"}):
        found = plan({"decoder_prompt_ids": (3, 7)}, bundle)
        assert (found.forced_bos_token_id, found.language) == (None, None)


def test_language_refusals() -> None:
    with refused("unknown language 'fr'; known: de_DE, en_XX; pass a known one or leave language unset"):
        plan({"language": "fr"})
    with refused(
        "unknown language 'fr'; this bundle has no languages; leave language unset, or export again with "
        "--languages FILE.json"
    ):
        plan({"language": "fr"}, languages={})
    with refused("language 'de_DE' is token 8, but forced_bos_token_id is 7, wanted one and the same; leave"):
        plan({"language": "de_DE", "forced_bos_token_id": 7})
    for call in ({"language": "de_DE"}, {"forced_bos_token_id": 7}):
        with refused(
            "language or forced_bos_token_id cannot be applied after a prompt of 2 tokens, wanted a"
        ):
            plan({**call, "decoder_prompt_ids": (3, 4)})
    with refused("forced_bos_token_id has token 99, wanted ids from 0 to 19; correct the id"):
        plan({"language": "xx"}, languages={"xx": 99})


def test_widths() -> None:
    assert plan({"num_beams": 4, "num_return_sequences": 4}).num_return_sequences == 4
    for beams in (1, 2):
        with refused(
            f"num_return_sequences 3 is more than num_beams {beams}, wanted at most one sequence per"
        ):
            plan({"num_beams": beams, "num_return_sequences": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eos_token_id", (2, 20)), ("forced_eos_token_id", 20), ("suppress_tokens", (20,)),
        ("begin_suppress_tokens", (20,)), ("decoder_prompt_ids", (3, 20)), ("decoder_start_token_id", 20),
        ("pad_token_id", 20), ("forced_bos_token_id", 20), ("bad_words_ids", ((4, 20),)),
    ],
)  # fmt: skip
def test_ids_beyond_the_vocabulary(name: str, value: Any) -> None:
    with refused(f"{name} has token 20, wanted ids from 0 to 19; correct the id"):
        plan({name: value})


def test_an_unused_bos_token_may_be_beyond_the_vocabulary() -> None:
    assert plan({"bos_token_id": 99}).prompt == (3,)


def test_forcing_what_is_suppressed_is_refused_as_in_transformers() -> None:
    with refused(
        "forced_bos_token_id [7] is all in suppress_tokens, which leaves nothing to choose, wanted one"
    ):
        plan({"forced_bos_token_id": 7, "suppress_tokens": (7, 8)})
    with refused("forced_eos_token_id [7, 8] is all in suppress_tokens, which leaves nothing to choose"):
        plan({"forced_eos_token_id": (7, 8), "suppress_tokens": (7, 8)})
    assert plan({"forced_eos_token_id": (7, 9), "suppress_tokens": (7, 8)}).forced_eos_token_ids == (7, 9)


def test_a_length_penalty_beyond_single_precision() -> None:
    for penalty in (500.0, -500.0):
        with refused(
            f"length_penalty {penalty} is too large for 20 new tokens, wanted new tokens ** length_pen"
        ):
            plan({"length_penalty": penalty})


INTEGERS = {
    "num_beams": 1, "num_return_sequences": 1, "max_length": 1, "max_new_tokens": 1, "min_length": 0,
    "min_new_tokens": 0, "no_repeat_ngram_size": 0, "forced_bos_token_id": 0, "decoder_start_token_id": 0,
    "bos_token_id": 0, "pad_token_id": 0, "eos_token_id": 0, "forced_eos_token_id": 0,
    "decoder_prompt_ids": 0, "suppress_tokens": 0, "begin_suppress_tokens": 0,
}  # fmt: skip


@pytest.mark.parametrize(("name", "least"), INTEGERS.items())
def test_integers(name: str, least: int) -> None:
    for value in (least - 1, True, 2.0, float("nan"), "3"):
        with refused(
            f"{name} is {value!r}, wanted an integer of at least {least}; pass such a value or leave"
        ):
            GenerationOptions(**{name: value})


@pytest.mark.parametrize("name", ["eos_token_id", "suppress_tokens", "bad_words_ids"])
def test_integers_within_lists(name: str) -> None:
    for value in (-1, True, 2.0, None):
        items = ((4, value),) if name == "bad_words_ids" else (4, value)
        with refused(f"{name} is {value!r}, wanted an integer of at least 0"):
            GenerationOptions(**{name: items})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("repetition_penalty", 0.0, "a finite number above 0"),
        ("repetition_penalty", -1, "a finite number above 0"),
        ("repetition_penalty", float("inf"), "a finite number above 0"),
        ("repetition_penalty", True, "a finite number above 0"),
        ("length_penalty", float("nan"), "a finite number"),
        ("length_penalty", float("-inf"), "a finite number"),
        ("length_penalty", "1", "a finite number"),
        ("length_penalty", False, "a finite number"),
        ("early_stopping", 1, "True, False or 'never'"),
        ("early_stopping", "always", "True, False or 'never'"),
        ("bad_words_ids", ((4,), ()), "no empty entry"),
        ("bad_words_ids", (4, 5), "a list of lists of token ids"),
        ("bad_words_ids", 4, "a list of lists of token ids"),
        ("bad_words_ids", "word", "a list of lists of token ids"),
        ("language", "", "a language code"),
        ("language", 5, "a language code"),
    ],
)
def test_other_values(name: str, value: Any, wanted: str) -> None:
    with refused(f"{name} is {value!r}, wanted {wanted}; pass such a value or leave {name} unset"):
        GenerationOptions(**{name: value})
