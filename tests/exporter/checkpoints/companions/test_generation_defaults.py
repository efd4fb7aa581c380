"""Generation options of a checkpoint: carried over, harmless, or refused by name and value."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from exporter.checkpoints.companions.generation_defaults import (
    GENERATION_CONFIG,
    NEUTRAL,
    SUPPORTED,
    WITHOUT_EFFECT,
    file_of,
    options_from,
    supported_values,
)
from exporter.checkpoints.sources.files import locate_checkpoint
from exporter.errors import CheckpointError, UnsupportedModelError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.plan import SearchPlan, plan_search
from s2t_runtime.options.refusals import REASONS

# An option's value at which it does change something, and what else it needs to be valid at all.
UNSUPPORTED: dict[str, Any] = {
    "assistant_confidence_threshold": 0.9,
    "assistant_early_exit": 2,
    "assistant_ensemble_weight": 0.5,
    "assistant_lookbehind": 5,
    "cache_implementation": "static",
    "constraints": ["x"],
    "disable_compile": True,
    "diversity_penalty": 0.5,
    "dola_layers": "high",
    "encoder_no_repeat_ngram_size": 3,
    "encoder_repetition_penalty": 1.5,
    "force_words_ids": [[7]],
    "guidance_scale": 2.0,
    "is_assistant": True,
    "low_memory": True,
    "max_cache_len": 64,
    "max_matching_ngram_size": 3,
    "max_time": 1.5,
    "num_assistant_tokens": 5,
    "num_assistant_tokens_schedule": "heuristic",
    "num_beam_groups": 2,
    "penalty_alpha": 0.6,
    "prefill_chunk_size": 64,
    "prompt_lookup_num_tokens": 3,
    "remove_invalid_values": True,
    "speculation_type": "mtp",
    "stop_strings": ["."],
    "target_lookbehind": 5,
    "token_healing": True,
    "use_mtp": True,
    "watermarking_config": {"greenlist_ratio": 0.5},
}
CARRIED: dict[str, Any] = {
    "num_beams": 5,
    "num_return_sequences": 2,
    "max_length": 100,
    "max_new_tokens": 60,
    "min_length": 3,
    "min_new_tokens": 2,
    "length_penalty": 0.7,
    "early_stopping": "never",
    "forced_bos_token_id": 9,
    "forced_eos_token_id": 2,
    "eos_token_id": [2, 7],
    "decoder_start_token_id": 2,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "suppress_tokens": [4, 5],
    "begin_suppress_tokens": [6],
    "no_repeat_ngram_size": 3,
    "repetition_penalty": 1.2,
    "bad_words_ids": [[5, 6], [7]],
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 20,
    "top_p": 0.9,
    "min_p": 0.1,
    "typical_p": 0.8,
    "top_h": 0.4,
    "epsilon_cutoff": 0.001,
    "eta_cutoff": 0.002,
    "exponential_decay_length_penalty": [5, 1.1],
    "sequence_bias": [[[5, 6], -1.0], [[7], 2.0]],
    "renormalize_logits": True,
}


class Stored:
    """A GenerationConfig of exactly these values, as no validation of transformers would let through."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def to_dict(self) -> dict[str, Any]:
        return dict(self.options)


def generation_defaults(
    source: str, config: Any, ignored: Collection[str] = (), file: str = GENERATION_CONFIG
) -> GenerationOptions:
    values = supported_values(source, config, ignored=ignored, file=file)
    return options_from(source, values, file=file)


def defaults_of(**options: Any) -> GenerationOptions:
    return generation_defaults("the/model", Stored(**options))


def reasons(*, ignored: tuple[str, ...] = (), **options: Any) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModelError) as caught:
        generation_defaults("the/model", Stored(**options), ignored=ignored)
    assert str(caught.value).startswith("the/model cannot be exported:\n  - generation option ")
    return caught.value.reasons


def from_file(directory: Path, **options: Any) -> GenerationOptions:
    (directory / "generation_config.json").write_text(json.dumps(options), encoding="utf-8")
    return generation_defaults("the/model", GenerationConfig.from_pretrained(directory))


def test_every_option_of_transformers_is_classified() -> None:
    known = {*GenerationConfig().to_dict(), *GenerationConfig()._get_default_generation_params()}
    unclassified = known - SUPPORTED - NEUTRAL.keys() - WITHOUT_EFFECT
    assert unclassified == set(), "say of each new option what its neutral value is"


def test_each_option_is_in_one_class() -> None:
    assert SUPPORTED.isdisjoint(NEUTRAL)
    assert SUPPORTED.isdisjoint(WITHOUT_EFFECT)
    assert WITHOUT_EFFECT.isdisjoint(NEUTRAL)


def test_transformers_own_defaults_are_harmless() -> None:
    assert generation_defaults("the/model", GenerationConfig()) == GenerationOptions()
    defaults = GenerationConfig()._get_default_generation_params()
    neutral = {name: value for name, value in defaults.items() if name not in SUPPORTED}
    assert defaults_of(**neutral) == GenerationOptions()


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in NEUTRAL.items() for value in values]
)
def test_neutral_values_are_accepted(name: str, value: Any) -> None:
    assert defaults_of(**{name: value}) == GenerationOptions()


@pytest.mark.parametrize(("name", "value"), UNSUPPORTED.items())
def test_other_values_are_refused_by_name_and_value(name: str, value: Any) -> None:
    assert reasons(**{name: value}) == (
        f"generation option {name}={value!r} is not supported: it {REASONS[name].partition(';')[0]}; remove it from "
        f"generation_config.json, or leave it out with --ignore-generation-option {name} (results may then differ "
        "from eager PyTorch)",
    )


def test_a_mode_that_transformers_moved_says_so() -> None:
    assert reasons(penalty_alpha=0.6)[0].startswith(
        "generation option penalty_alpha=0.6 is not supported: it asks for contrastive search, which transformers 5 "
        "itself no longer has: it lives in the repository transformers-community/contrastive-search, whose code "
        "needs trust_remote_code; remove it from generation_config.json, or leave it out with"
    )


def test_a_name_that_nobody_knows_has_no_reason() -> None:
    assert reasons(task="translate") == (
        "generation option task='translate' is not supported; remove it from generation_config.json, or leave it "
        "out with --ignore-generation-option task (results may then differ from eager PyTorch)",
    )


def test_the_table_above_is_complete() -> None:
    assert UNSUPPORTED.keys() == NEUTRAL.keys()
    # Both are names that transformers gives no meaning.
    assert CARRIED.keys() == SUPPORTED


def test_all_are_refused_in_one_error() -> None:
    listed = reasons(**UNSUPPORTED, num_beams=3)
    assert [reason.split()[2].split("=")[0] for reason in listed] == sorted(UNSUPPORTED)


@pytest.mark.parametrize("name", ["top_k", "top_p", "top_h", "min_p", "typical_p", "temperature"])
def test_sampling_options_wait_for_sampling(name: str) -> None:
    value = 5 if name == "top_k" else 0.5
    stored = defaults_of(do_sample=False, **{name: value})
    assert stored == GenerationOptions(do_sample=False, **{name: value})
    start = GenerationOptions(**{**stored.to_dict(), "decoder_start_token_id": 2, "eos_token_id": 2})

    def plan(**call: Any) -> SearchPlan:
        return plan_search(start, GenerationOptions(**call), languages={}, vocab_size=20, max_positions=None)

    assert plan().sampling is None
    drawn = plan(do_sample=True).sampling
    assert getattr(drawn, name) == value


def test_the_usual_file_without_sampling(tmp_path: Path) -> None:
    stored = from_file(tmp_path, top_k=50, num_beam_groups=1, diversity_penalty=0.0, num_beams=4)
    assert stored == GenerationOptions(num_beams=4, top_k=50)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder_repetition_penalty": 1.5},
        {"num_beam_groups": 2},
        {"diversity_penalty": 0.5, "num_beams": 4},
    ],
)
def test_a_file_with_an_unsupported_option(tmp_path: Path, options: dict[str, Any]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(UnsupportedModelError, match=f"generation option {name}={value!r} is not supported"):
        from_file(tmp_path, **options)


def test_a_value_that_transformers_would_refuse_when_drawing() -> None:
    with pytest.raises(
        CheckpointError,
        match=r"^the/model: generation_config\.json: temperature is 0\.0, wanted a finite number above 0; pass such a "
        r"value or leave temperature unset, or leave it out with --ignore-generation-option$",
    ):
        defaults_of(do_sample=True, temperature=0.0)
    drawing = Stored(do_sample=True, temperature=0.0, num_beams=2)
    stored = generation_defaults("the/model", drawing, ignored={"temperature"})
    assert stored == GenerationOptions(do_sample=True, num_beams=2)


@pytest.mark.parametrize("drawing", [{}, {"do_sample": False}])
def test_it_has_no_effect_where_nothing_is_drawn(drawing: dict[str, Any]) -> None:
    # Eager warns at most.
    assert defaults_of(temperature=0.0, top_p=0.9, **drawing) == GenerationOptions(top_p=0.9, **drawing)


@pytest.mark.parametrize(
    ("name", "value"), [("task", "translate"), ("language", "de"), ("decoder_prompt_ids", [2]), ("seed", 3)]
)
def test_a_key_that_transformers_does_not_know(tmp_path: Path, name: str, value: Any) -> None:
    # The others are options of ours; eager would not act on them, so the bundle must not either.
    with pytest.raises(UnsupportedModelError, match=f"generation option {name}="):
        from_file(tmp_path, **{name: value})


def test_true_is_not_one() -> None:
    assert reasons(num_beam_groups=True)
    assert reasons(token_healing=1)
    assert reasons(diversity_penalty=False)


def test_an_ignored_option_passes() -> None:
    config = Stored(do_sample=True, max_time=2.0, task="translate", num_beams=2)
    stored = generation_defaults("the/model", config, ignored={"do_sample", "max_time", "task"})
    assert stored == GenerationOptions(num_beams=2)


def test_only_the_named_option_is_ignored() -> None:
    listed = reasons(ignored=("max_time",), max_time=2.0, task="translate")
    assert [reason.split()[2] for reason in listed] == ["task='translate'"]


def test_supported_options_are_carried_over(tmp_path: Path) -> None:
    expected = {**CARRIED, "forced_eos_token_id": [2]}
    assert from_file(tmp_path, **CARRIED).to_dict() == expected


def test_lang_to_id_is_read_elsewhere() -> None:
    assert defaults_of(lang_to_id={"de": 4}) == GenerationOptions()


def test_a_supported_option_of_no_use() -> None:
    with pytest.raises(
        CheckpointError, match=r"^the/model: generation_config\.json: num_beams is 'many', wanted"
    ):
        defaults_of(num_beams="many")


def test_the_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    files = locate_checkpoint(str(tmp_path))
    assert file_of(files) == "config.json"
    with pytest.raises(
        UnsupportedModelError, match=r"not supported: .*; remove it from config\.json, or leave"
    ):
        generation_defaults("the/model", Stored(num_beam_groups=2), file=file_of(files))
    with pytest.raises(CheckpointError, match=r"^the/model: config\.json: num_beams is 0, wanted"):
        generation_defaults("the/model", Stored(num_beams=0), file=file_of(files))
    (tmp_path / GENERATION_CONFIG).write_text("{}", encoding="utf-8")
    assert file_of(files) == "generation_config.json"
