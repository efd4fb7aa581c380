"""The options of sampling and of the further rules: how they resolve, and what every refusal says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.options.refusals import REASONS
from s2t_runtime.options.sampling import Sampling


def plan(call: dict[str, Any] | None = None, bundle: dict[str, Any] | None = None) -> SearchPlan:
    defaults = {"decoder_start_token_id": 3, "eos_token_id": 2, **(bundle or {})}
    return plan_search(
        GenerationOptions(**defaults), GenerationOptions(**(call or {})), languages={}, vocab_size=20,
        max_positions=128,
    )  # fmt: skip


def refused(message: str) -> Any:
    return pytest.raises(OptionError, match="^" + re.escape(message))


DRAWN = {"do_sample": True}


def test_sampling_has_transformers_defaults() -> None:
    assert plan().sampling is None
    assert plan(DRAWN).sampling == Sampling(top_k=50)
    assert Sampling() == Sampling(
        temperature=1.0, top_h=0.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, epsilon_cutoff=0.0,
        eta_cutoff=0.0, min_tokens_to_keep=1, seed=None,
    )  # fmt: skip


def test_the_call_goes_before_the_bundle_and_zero_switches_off() -> None:
    bundle = {"do_sample": True, "top_k": 10, "temperature": 0.7, "top_h": 0.5}
    assert plan({}, bundle).sampling == Sampling(top_k=10, temperature=0.7, top_h=0.5)
    call = {"top_k": 0, "top_h": 0, "top_p": 0.9, "seed": 5}
    assert plan(call, bundle).sampling == Sampling(temperature=0.7, top_p=0.9, seed=5)
    assert plan({"do_sample": False}, bundle).sampling is None


def test_defaults_of_a_bundle_wait_for_do_sample() -> None:
    bundle = {
        "top_k": 10,
        "temperature": 0.7,
        "top_p": 0.9,
        "min_p": 0.1,
        "typical_p": 0.5,
        "eta_cutoff": 0.1,
    }
    assert plan({}, bundle) == plan()
    assert plan(DRAWN, bundle).sampling == Sampling(**bundle)


@pytest.mark.parametrize(("beams", "eos", "keep"), [(1, (2, 5), 1), (2, (2,), 2), (2, (2, 5), 3), (3, (), 2)])
def test_tokens_that_are_kept_at_least(beams: int, eos: tuple[int, ...], keep: int) -> None:
    found = plan({**DRAWN, "num_beams": beams, "eos_token_id": eos}).sampling
    assert found is not None
    assert found.min_tokens_to_keep == keep


IDLE = {
    "temperature": (0.7, 1.0), "top_h": (0.5, 0), "top_k": (5, 0), "top_p": (0.9, 1.0), "min_p": (0.1, 0.0),
    "typical_p": (0.9, 1.0), "epsilon_cutoff": (0.1, 0.0), "eta_cutoff": (0.1, 0.0), "seed": (3, None),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value", "off"), [(name, *values) for name, values in IDLE.items()])
def test_options_of_sampling_without_sampling_are_refused(name: str, value: Any, off: Any) -> None:
    because = "would be ignored: tokens are not drawn, because do_sample is"
    with refused(f"{name} {value} {because} not set; pass do_sample=True or leave it out"):
        plan({name: value})
    with refused(f"{name} {value} {because} False; pass do_sample=True or leave it out"):
        plan({name: value, "do_sample": False}, DRAWN)
    assert plan({name: value}, DRAWN).sampling is not None
    assert plan({name: off}) == plan()  # which changes nothing either way


def test_all_idle_options_are_named_at_once() -> None:
    with refused(
        "temperature 0.7 and top_k 5 would be ignored: tokens are not drawn, because do_sample is not"
    ):
        plan({"top_k": 5, "temperature": 0.7})


def test_several_sequences() -> None:
    assert plan({**DRAWN, "num_return_sequences": 7}).num_return_sequences == 7
    with refused(
        "num_return_sequences 3 is more than num_beams 2, wanted at most one sequence per beam; pass num_beams=3 "
        "or num_beams=1 or fewer num_return_sequences"
    ):
        plan({**DRAWN, "num_beams": 2, "num_return_sequences": 3})
    with refused(
        "num_return_sequences 3 is more than num_beams 1, wanted at most one sequence per beam; pass num_beams=3 "
        "or do_sample=True with num_beams=1 or fewer num_return_sequences"
    ):
        plan({"num_return_sequences": 3})


# Values


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        ("do_sample", (1, "yes"), "True or False"),
        ("renormalize_logits", (0, "no"), "True or False"),
        ("temperature", (0, 0.0, -1.0, float("inf"), True, "1"), "a finite number above 0"),
        ("top_k", (-1, 2.0, True), "an integer of at least 0"),
        ("seed", (-1, 2.0, True, "3"), "an integer of at least 0"),
        ("top_p", (-0.1, 1.1, True, "1", float("nan")), "a number from 0 to 1"),
        ("min_p", (-0.1, 1.1), "a number from 0 to 1"),
        ("top_h", (-0.1, 1.1), "a number from 0 to 1"),
        ("typical_p", (0, 1.1), "a number from above 0 to 1"),
        ("epsilon_cutoff", (-0.1, 1), "a number from 0 to below 1"),
        ("eta_cutoff", (-0.1, 1.0), "a number from 0 to below 1"),
        ("prefix_allowed_tokens_fn", (3, [4]), "a function of an utterance's index and its tokens so far"),
        ("exponential_decay_length_penalty", (5, "5", (5,), (5, 1.1, 2)), "a pair (start, factor)"),
        ("sequence_bias", (5, "ab", [[5, 1.0]], [[[5], 1.0, 2]], {5: 1.0}), "{(ids): bias} or [[[ids], bias], ...]"),
        ("sequence_bias", ([[[], 1.0]], {(): 1.0}), "no empty sequence"),
    ],
)  # fmt: skip
def test_values(name: str, values: tuple[Any, ...], wanted: str) -> None:
    for value in values:
        message = f"{name} is {value!r}, wanted {wanted}; pass such a value or leave {name} unset"
        with refused(message):
            GenerationOptions(**{name: value})


def test_values_within_pairs() -> None:
    for value, wanted in ((-1, "an integer of at least 0"), (1.5, "an integer of at least 0")):
        with refused(f"exponential_decay_length_penalty is {value}, wanted {wanted}"):
            GenerationOptions(exponential_decay_length_penalty=(value, 1.1))  # type: ignore[arg-type]
        with refused(f"sequence_bias is {value}, wanted {wanted}"):
            GenerationOptions(sequence_bias={(value,): 1.0})  # type: ignore[dict-item]
    with refused("exponential_decay_length_penalty is 0.0, wanted a finite number above 0"):
        GenerationOptions(exponential_decay_length_penalty=(5, 0.0))
    with refused("sequence_bias is -inf, wanted a finite number"):
        GenerationOptions(sequence_bias={(5,): float("-inf")})


def test_both_of_transformers_forms_of_biases() -> None:
    pairs = (((10, 45), -2.0), ((6,), 7.0))
    for given in ({(10, 45): -2.0, (6,): 7}, [[[10, 45], -2.0], [[6], 7]], pairs):
        options = GenerationOptions(sequence_bias=given)  # type: ignore[arg-type]
        assert options.sequence_bias == pairs
        values = json.loads(json.dumps(options.to_dict()))
        assert values == {"sequence_bias": [[[10, 45], -2.0], [[6], 7.0]]}
        assert GenerationOptions.from_dict(values) == options
    # The last one of equal sequences holds, as in transformers' dict.
    assert GenerationOptions(sequence_bias=[[[5], 1.0], [[6], 2.0], [[5], 3.0]]).sequence_bias == (  # type: ignore[arg-type]
        ((5,), 3.0),
        ((6,), 2.0),
    )
    assert plan({"sequence_bias": {(4, 5): 2}}).sequence_bias == (((4, 5), 2.0),)
    assert plan({"sequence_bias": ()}, {"sequence_bias": {(4,): 2}}).sequence_bias == ()
    with refused("sequence_bias has token 20, wanted ids from 0 to 19; correct the id"):
        plan({"sequence_bias": {(4, 20): 1.0}})


def test_exponential_decay_counts_new_tokens() -> None:
    call = {"exponential_decay_length_penalty": [5, 1.5]}
    assert plan(call).decay == (6, 1.5)
    assert plan({**call, "decoder_prompt_ids": (3, 4, 5)}).decay == (8, 1.5)
    assert plan({"exponential_decay_length_penalty": ()}, call).decay is None
    with refused(
        "exponential_decay_length_penalty makes end tokens more likely, and eos_token_id names none; pass "
        "eos_token_id or leave exponential_decay_length_penalty out"
    ):
        plan({**call, "eos_token_id": ()})


def test_a_function_is_in_no_file() -> None:
    options = GenerationOptions(prefix_allowed_tokens_fn=lambda *_: [1])
    with refused(
        "prefix_allowed_tokens_fn is a function, wanted options that a file can hold; pass it to generate()"
    ):
        options.to_dict()


# Options that are refused by name


def test_refusals_say_why_and_name_them_all() -> None:
    with refused(
        "diversity_penalty is not supported: it asks for group beam search, which transformers 5 itself no longer "
        "has: it lives in the repository transformers-community/group-beam-search, whose code needs "
        "trust_remote_code; leave it out; max_time is not supported: it is measured by transformers' own loop; "
        "pass stop instead, which is asked before each step; leave it out"
    ):
        GenerationOptions.from_dict({"max_time": 3.0, "diversity_penalty": 0.5, "num_beams": 2, "beams": 3})


@pytest.mark.parametrize("name", REASONS)
def test_each_is_refused_by_name(name: str) -> None:
    with refused(f"{name} is not supported: it {REASONS[name]}; leave it out"):
        GenerationOptions.from_dict({name: 1})


@pytest.mark.parametrize(
    ("name", "mode", "repository"),
    [
        ("num_beam_groups", "group beam search", "group-beam-search"),
        ("force_words_ids", "constrained beam search", "constrained-beam-search"),
        ("constraints", "constrained beam search", "constrained-beam-search"),
        ("penalty_alpha", "contrastive search", "contrastive-search"),
        ("dola_layers", "DoLa decoding", "dola"),
    ],
)
def test_modes_that_transformers_moved(name: str, mode: str, repository: str) -> None:
    assert REASONS[name] == (
        f"asks for {mode}, which transformers 5 itself no longer has: it lives in the repository "
        f"transformers-community/{repository}, whose code needs trust_remote_code"
    )


def test_the_moved_modes_are_those_of_transformers() -> None:
    utils = pytest.importorskip("transformers.generation.utils")
    moved = {repo for repo in utils.GENERATION_MODES_MAPPING.values() if "/" in repo}
    named = {repo for repo in moved if any(repo in reason for reason in REASONS.values())}
    assert named == moved


def test_every_argument_of_transformers_is_known_or_refused() -> None:
    import dataclasses
    import inspect

    transformers = pytest.importorskip("transformers")
    arguments = set(inspect.signature(transformers.GenerationMixin.generate).parameters)
    arguments |= set(transformers.GenerationConfig().to_dict())
    arguments |= set(transformers.GenerationConfig._get_default_generation_params())
    ours = {field.name for field in dataclasses.fields(GenerationOptions)}
    no_options = {"self", "inputs", "kwargs", "_from_model_config", "transformers_version"}
    assert arguments - ours - set(REASONS) - no_options == set()
