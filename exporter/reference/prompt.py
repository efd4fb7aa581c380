"""What a bundle usually begins to decode with."""

from __future__ import annotations

from collections.abc import Mapping

from s2t_runtime.options.generation import GenerationOptions


def prompt_ids(defaults: GenerationOptions, languages: Mapping[str, int]) -> frozenset[int]:
    """The ids that a call is likely to begin with, by the stored options and the languages: of each the tokens.

    Args:
        defaults: the stored generation options.
        languages: language code -> token id.
    """
    named = (
        defaults.decoder_start_token_id,
        defaults.bos_token_id,
        defaults.pad_token_id,
        defaults.forced_bos_token_id,
        *(defaults.eos_token_id if isinstance(defaults.eos_token_id, tuple) else (defaults.eos_token_id,)),
        *languages.values(),
    )
    return frozenset(token for token in named if token is not None)


def usual_prompt(defaults: GenerationOptions, languages: Mapping[str, int]) -> list[int]:
    """The start token, and the token that is forced behind it or names a language, where there is one.

    Args:
        defaults: the stored generation options, which name a start token.
        languages: language code -> token id.

    Raises:
        ValueError: they name none.
    """
    start = (
        defaults.bos_token_id if defaults.decoder_start_token_id is None else defaults.decoder_start_token_id
    )
    if start is None:
        raise ValueError("no start token: wanted decoder_start_token_id or bos_token_id among the defaults")
    forced = defaults.forced_bos_token_id
    if forced is None:
        forced = next((token for _, token in sorted(languages.items())), None)
    return [start, *([] if forced is None else [forced])]
