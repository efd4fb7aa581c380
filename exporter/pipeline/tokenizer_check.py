"""Compares a tokenizer with the decoder that it is to write the text of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import CheckpointError

_FORCED = ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
_PLAINLY_ANOTHERS = 2
"""Times as many ids as the tokenizer knows."""


def tokenizer_remarks(checkpoint: Checkpoint, vocab_size: int, languages: Mapping[str, int]) -> list[str]:
    """What to say of a tokenizer that knows fewer ids than the decoder writes; nothing where it knows all.

    Args:
        checkpoint: the loaded model and its tokenizer.
        vocab_size: ids that the decoder writes.
        languages: language code -> token id that decoding begins with.

    Raises:
        CheckpointError: it does not know an id that decoding forces, so it belongs to another model.
    """
    known = {index for index in checkpoint.tokenizer.get_vocab().values() if index < vocab_size}
    forced = {
        **_forced(checkpoint.model.generation_config),
        **{f"language {code}": i for code, i in languages.items()},
    }
    unknown = {option: index for option, index in forced.items() if index not in known}
    source = checkpoint.origin.companions.get("tokenizer", checkpoint.files).source
    if unknown:
        listed = ", ".join(f"{option} {index}" for option, index in sorted(unknown.items()))
        raise CheckpointError(
            f"{source}: the tokenizer knows {len(known)} of the decoder's {vocab_size} ids, and not those that "
            f"decoding forces ({listed}), so it is another model's: name this model's with --tokenizer"
        )
    if len(known) == vocab_size:
        return []
    plainly = "; it looks like another model's: name this model's with --tokenizer"
    return [
        f"the tokenizer knows {len(known)} of the decoder's {vocab_size} ids: the others are kept among the tokens and "
        f"left out of the text{plainly if vocab_size > _PLAINLY_ANOTHERS * len(known) else ''}"
    ]


def _forced(generation: Any) -> dict[str, int]:
    named = {name: getattr(generation, name, None) for name in _FORCED}
    single = {name: value[0] if isinstance(value, list) and value else value for name, value in named.items()}
    return {name: value for name, value in single.items() if type(value) is int}
