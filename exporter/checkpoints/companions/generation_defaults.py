"""A checkpoint's generation options -> the bundle's defaults; nothing that changes results is dropped silently."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, UnsupportedModelError
from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.refusals import REASONS
from s2t_runtime.options.sampling import Sampling

# No options of a GenerationConfig, so eager ignores them: a bundle that obeyed would decode otherwise.
_OURS_ALONE = {"language", "decoder_prompt_ids", "seed", "prefix_allowed_tokens_fn"}
SUPPORTED = frozenset(field.name for field in dataclasses.fields(GenerationOptions)) - _OURS_ALONE

IDLE_WITHOUT_DO_SAMPLE = SUPPORTED & {field.name for field in dataclasses.fields(Sampling)}
"""Eager looks at these while it samples and not before: temperature 0 stands in many a checkpoint that never does."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "assistant_confidence_threshold": (0.4, None),
    "assistant_early_exit": (None,),
    "assistant_ensemble_weight": (None,),
    "assistant_lookbehind": (10, None),
    "cache_implementation": (None,),
    "constraints": (None,),
    "disable_compile": (False, None),
    "diversity_penalty": (0.0, None),
    "dola_layers": (None,),
    "encoder_no_repeat_ngram_size": (0, None),
    "encoder_repetition_penalty": (1.0, None),
    "force_words_ids": (None,),
    "guidance_scale": (None, 1, 1.0),
    "is_assistant": (False, None),
    "low_memory": (False, None),
    "max_cache_len": (None,),
    "max_matching_ngram_size": (None,),
    "max_time": (None,),
    "num_assistant_tokens": (20, None),
    "num_assistant_tokens_schedule": ("constant", None),
    "num_beam_groups": (1, None),
    "penalty_alpha": (None, 0.0),
    "prefill_chunk_size": (None,),
    "prompt_lookup_num_tokens": (None,),
    "remove_invalid_values": (False, None),
    "speculation_type": (None,),
    "stop_strings": (None,),
    "target_lookbehind": (10, None),
    "token_healing": (False, None),
    "use_mtp": (False, None),
    "watermarking_config": (None,),
}
"""Options that the search does not know, with the values at which they change nothing."""

WITHOUT_EFFECT = frozenset(
    {
        # How results are returned or computed, not what they are.
        "_from_model_config", "transformers_version", "output_attentions", "output_hidden_states",
        "output_logits", "output_scores", "return_dict_in_generate", "use_cache", "cache_config",
        "compile_config", "return_legacy_cache", "continuous_batching_config",
        # Read elsewhere: languages.py.
        "lang_to_id",
    }
)  # fmt: skip
"""Options that cannot change the tokens of any search."""


GENERATION_CONFIG = "generation_config.json"


def file_of(files: CheckpointFiles) -> str:
    """The file that a checkpoint's generation options stand in: config.json where there is none of their own."""
    return GENERATION_CONFIG if (files.directory / GENERATION_CONFIG).is_file() else "config.json"


def supported_values(
    source: str, generation_config: Any, *, ignored: Collection[str], file: str
) -> dict[str, Any]:
    """The set options that a bundle knows, as they are stored.

    Args:
        source: the checkpoint, for the message.
        generation_config: transformers' GenerationConfig as from_pretrained left it.
        ignored: names to leave out although they are neither neutral nor supported.
        file: where the options stand, for the message.

    Raises:
        UnsupportedModelError: options that are neither neutral nor supported; each is listed by name and value.
    """
    reasons = unsupported_options(generation_config, ignored, file=file)
    if reasons:
        raise UnsupportedModelError(source, reasons)
    stored = {
        name: value
        for name, value in generation_config.to_dict().items()
        if name in SUPPORTED and value is not None and name not in ignored
    }
    idle = () if stored.get("do_sample") else IDLE_WITHOUT_DO_SAMPLE
    return {name: value for name, value in stored.items() if name not in idle or _is_valid(name, value)}


def options_from(source: str, values: Mapping[str, Any], *, file: str) -> GenerationOptions:
    """The same as options.

    Raises:
        CheckpointError: one has a value that cannot be valid.
    """
    try:
        return GenerationOptions.from_dict(values)
    except OptionError as error:
        raise CheckpointError(
            f"{source}: {file}: {error}, or leave it out with --ignore-generation-option"
        ) from error


def _is_valid(name: str, value: Any) -> bool:
    try:
        GenerationOptions.from_dict({name: value})
    except OptionError:
        return False
    return True


def unsupported_options(
    generation_config: Any, ignored: Collection[str], *, file: str = GENERATION_CONFIG
) -> list[str]:
    """One reason against exporting per option that is neither neutral nor supported, by name and value."""
    return [
        f"generation option {name}={value!r} is not supported{_because(name)}; remove it from "
        f"{file}, or leave it out with --ignore-generation-option {name} (results may then "
        "differ from eager PyTorch)"
        for name, value in sorted(generation_config.to_dict().items())
        if name not in ignored and not is_harmless(name, value)
    ]


def _because(name: str) -> str:
    return f": it {REASONS[name].partition(';')[0]}" if name in REASONS else ""


def is_harmless(name: str, value: Any) -> bool:
    """Whether a bundle decodes as this option wants it: it is supported, neutral or without effect."""
    if name in SUPPORTED or name in WITHOUT_EFFECT or value is None:
        return True
    # A bool is no number here: num_beam_groups=True must not pass as 1.
    return any(
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
        for neutral in NEUTRAL.get(name, ())
    )
