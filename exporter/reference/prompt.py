"""What a bundle usually begins to decode with."""

from __future__ import annotations

from collections.abc import Mapping

from s2t_runtime.options.generation import GenerationOptions


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
