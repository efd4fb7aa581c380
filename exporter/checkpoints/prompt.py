"""What a checkpoint usually begins to decode with."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.checkpoints.checkpoint import Checkpoint


def usual_prompt(checkpoint: Checkpoint, languages: Mapping[str, int]) -> list[int]:
    """The start token, and the token that is forced behind it or names a language, where there is one.

    Args:
        checkpoint: the loaded model.
        languages: language code -> token id.
    """
    config = checkpoint.model.generation_config
    start = config.decoder_start_token_id
    forced = config.forced_bos_token_id
    if forced is None:
        forced = next((token for _, token in sorted(languages.items())), None)
    return [config.bos_token_id if start is None else start, *([] if forced is None else [forced])]
