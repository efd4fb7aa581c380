"""Numbers that no option is meant for: each is taken and decoded with, or refused in one sentence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import plan_search
from s2t_runtime.options.values import CHECKS
from s2t_runtime.search.search import search

HUGE = 10**5000  # Python does not write it
VALUES: tuple[Any, ...] = (
    0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400, -(10**400), HUGE, -HUGE,
    0.0, -0.0, 5e-324, 1e-320, 1e-300, 1e-40, 1e-38, 1e38, 3.4e38, 3.5e38, 1e300, -1e300,
    float("nan"), float("inf"), -float("inf"), 1j, True, False, None,
    np.int8(3), np.uint64(2**64 - 1), np.int64(-(2**63)), np.float16(6e-8), np.float32(1e-40), np.float32("nan"),
    np.float64(1e300), np.longdouble("1e4000"), np.bool_(True), np.array(2), np.array(1.0), np.array([1, 2]),
    np.array([[1, 2]]), "1", "", b"1", {}, {5: 1}, {(5,): HUGE}, set(), object, [HUGE], [[HUGE]], [[[5], HUGE]],
    [[[5], 1e300]], [[[5], 3e38], [[5, 6], 3e38]], (HUGE, 2.0), (1, HUGE), (1, 1e300), (1, 5e-324), (1, float("nan")),
)  # fmt: skip
DRAWN = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "top_h",
    "epsilon_cutoff",
    "eta_cutoff",
    "seed",
)


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("name", sorted(set(CHECKS) - {"prefix_allowed_tokens_fn"}))
def test_each_value_is_taken_or_refused_in_a_sentence(scripted: Any, name: str, beams: int) -> None:
    defaults = GenerationOptions(decoder_start_token_id=0, eos_token_id=1, num_beams=beams, max_length=4)
    taken, messages = 0, []
    for value in VALUES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                asked = GenerationOptions(**{name: value, **({"do_sample": True} if name in DRAWN else {})})
                plan = plan_search(defaults, asked, languages={}, vocab_size=8, max_positions=9)
                if plan.num_beams * plan.num_return_sequences < 100:  # else ``memory`` has a say
                    search(scripted(lambda *_: [0.5, -9.0, *map(float, range(6))]), plan, 1, max_candidates=8)
                taken += 1
            except OptionError as error:
                messages.append(str(error))
    assert taken >= 1
    assert len(messages) >= 20
    assert [message for message in messages if "\n" in message or len(message) > 1000] == []


MOST = "an integer of at most 9223372036854775807"
SAID: tuple[tuple[str, Any, str], ...] = (
    ("num_beams", 2**63, f"9223372036854775808, wanted {MOST}"),
    ("max_length", 10**30, f"1e+30, wanted {MOST}"),
    ("seed", 10**400, f"an integer of 1329 bits, wanted {MOST}"),
    ("top_k", HUGE, f"an integer of 16610 bits, wanted {MOST}"),
    ("min_length", 1e300, f"1e+300, wanted {MOST}"),
    ("min_length", -(10**30), "-1e+30, wanted an integer of at least 0"),
    ("num_beams", np.float16(0), f"{np.float16(0)!r}, wanted an integer of at least 1"),
    ("eos_token_id", [5, HUGE], f"an integer of 16610 bits, wanted {MOST}"),
    ("eos_token_id", b"1", "b'1', wanted an integer of at least 0"),
    ("bad_words_ids", [HUGE], "a list with an integer of thousands of digits, wanted a list of lists of token ids"),
    ("bad_words_ids", np.array(1.0), "array(1.), wanted a list of lists of token ids"),
    ("early_stopping", np.array([1, 2]), "array([1, 2]), wanted True, False or 'never'"),
    ("length_penalty", 10**400, "an integer of 1329 bits, wanted a number of at most 1.7e+308 in size"),
    ("repetition_penalty", HUGE, "an integer of 16610 bits, wanted a number of at most 1.7e+308 in size"),
    ("top_p", HUGE, "an integer of 16610 bits, wanted a number from 0 to 1"),
    ("temperature", 1e-40, "1e-40, wanted a number of single precision, from 1.2e-38 to 3.4e+38"),
    ("temperature", 1e39, "1e+39, wanted a number of single precision, from 1.2e-38 to 3.4e+38"),
    ("sequence_bias", {(5,): 1e39}, "1e+39, wanted a number of single precision, at most 3.4e+38 in size"),
    ("exponential_decay_length_penalty", (1, 10**400), "an integer of 1329 bits, wanted a number of at most 1.7e+308"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "said"), SAID, ids=[f"{row[0]}-{place}" for place, row in enumerate(SAID)]
)
def test_what_is_said_of_them(name: str, value: Any, said: str) -> None:
    with pytest.raises(OptionError, match="^" + re.escape(f"{name} is {said}")):
        GenerationOptions(**{name: value})


def test_what_single_precision_just_holds_is_taken() -> None:
    options = GenerationOptions(temperature=1.2e-38, sequence_bias={(5,): -3.4e38}, seed=2**63 - 1)
    assert options.temperature == 1.2e-38
    assert GenerationOptions(temperature=3.4e38).temperature == 3.4e38


@pytest.mark.parametrize("penalty", [1e300, 1e-300, 5e-324, 3e38, 1e-40])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_penalty_beyond_single_precision_acts_without_a_warning(
    scripted: Any, plan_of: Callable[..., Any], penalty: float, beams: int
) -> None:
    plan = plan_of(repetition_penalty=penalty, num_beams=beams, max_new_tokens=4, forced_bos_token_id=3)
    step = scripted(lambda *_: [1.0, -2.0, 3.0, 5.0, 2.0, 0.5, 0.7, 0.6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokens = search(step, plan, 1, max_candidates=8).hypotheses[0][0].tokens
    repeated = len(set(tokens)) < len(tokens)
    assert repeated == (penalty < 1)
