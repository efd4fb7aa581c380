"""Start, padding and end token of a model that no generation_config.json was written for."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from exporter.errors import CheckpointError


def with_special_tokens(
    generation: GenerationConfig, decoder: Any, tokenizer: PreTrainedTokenizerBase, source: str
) -> GenerationConfig:
    """Set what generate() cannot do without, by the rules that recipes for such models follow.

    The start token is the generation options' own, the decoder configuration's (BART names one there), the
    tokenizer's [CLS] (BERT), or its first one (GPT-2). The end token is the generation options' own, the
    tokenizer's, its [SEP] (BERT), or the configuration's. For padding the tokenizer goes first, and an end
    token stands in where there is none, as generate() itself does it.

    Args:
        generation: the options found so far; changed in place.
        decoder: the text decoder's configuration.
        tokenizer: of the text decoder.
        source: where the ids were looked for, for the message.

    Raises:
        CheckpointError: no start or no end token is known.
    """
    start = _first(
        generation.decoder_start_token_id,
        getattr(decoder, "decoder_start_token_id", None),
        tokenizer.cls_token_id,
        tokenizer.bos_token_id,
        generation.bos_token_id,
        getattr(decoder, "bos_token_id", None),
    )
    end = _first(
        generation.eos_token_id,
        tokenizer.eos_token_id,
        tokenizer.sep_token_id,
        getattr(decoder, "eos_token_id", None),
    )
    missing = [
        f"{name} ({what})"
        for name, what, found in (
            ("decoder_start_token_id", "the token that decoding begins with", start),
            ("eos_token_id", "the token that ends a text", end),
        )
        if found is None
    ]
    if missing:
        raise CheckpointError(
            f"{source} names no {' and no '.join(missing)}, neither in generation_config.json nor in config.json "
            "nor in the tokenizer: write it into generation_config.json"
        )
    generation.decoder_start_token_id = start
    generation.eos_token_id = end
    generation.pad_token_id = _first(
        tokenizer.pad_token_id, generation.pad_token_id, getattr(decoder, "pad_token_id", None), _one_of(end)
    )
    return generation


def _first(*candidates: Any) -> Any:
    return next((candidate for candidate in candidates if candidate is not None), None)


def _one_of(ids: Any) -> Any:
    return ids[0] if isinstance(ids, list) else ids
