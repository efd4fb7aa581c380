"""Generation options that stand in a checkpoint's files and do not hold, though somebody may count on them."""

from __future__ import annotations

from typing import Any, Final

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.companions.generation_defaults import (
    GENERATION_CONFIG,
    IDLE_WITHOUT_DO_SAMPLE,
    SUPPORTED,
    file_of,
    is_harmless,
)
from exporter.checkpoints.configuration import options_of_config, read_generation_config
from exporter.checkpoints.pair import SPECIAL_TOKENS

_UNSET: Final = {
    "early_stopping": False,
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
}
"""What transformers 4 wrote into config.json for options that nobody had set."""


def followed_by_transformers_4(checkpoint: Checkpoint) -> list[str]:
    """A sentence where transformers 4 would have decoded by config.json, and 5 does not.

    A generation_config.json that was made from config.json says so (``_from_model_config``), and 4's ``generate()``
    made it again where config.json had changed since.
    """
    own, files = checkpoint.model.generation_config.to_dict(), checkpoint.files
    if file_of(files) != GENERATION_CONFIG or not own.get("_from_model_config"):
        return []
    told = options_of_config(files).to_dict()
    idle = frozenset[str]() if own.get("do_sample") or told.get("do_sample") else IDLE_WITHOUT_DO_SAMPLE
    changed = [
        f"{name} ({told[name]} there, {own.get(name, 'unset')} here)"
        for name in sorted((SUPPORTED & told.keys()) - idle)
        if told[name] not in (None, _UNSET.get(name)) and _as_list(told[name]) != _as_list(own.get(name))
    ]
    if not changed:
        return []
    return [
        f"{GENERATION_CONFIG} was made from config.json, which has other generation options now: {', '.join(changed)}; "
        f"the bundle follows {GENERATION_CONFIG}, as transformers 5 does (4 followed config.json)"
    ]


def _as_list(value: Any) -> Any:
    """One token and a list of it are the same option."""
    return [value] if type(value) is int else value


def lost_by_joining(pair: Checkpoint) -> list[str]:
    """A sentence where the decoder has generation options of its own, which joining it loses in eager too."""
    joined = pair.model.generation_config.to_dict()
    own = read_generation_config(pair.files).to_dict()
    lost = [
        f"{name} {value}"
        for name, value in sorted(own.items())
        if (name in SUPPORTED or not is_harmless(name, value))
        and name not in SPECIAL_TOKENS
        and value is not None
        and value != joined.get(name)
    ]
    if not lost:
        return []
    return [
        f"{', '.join(lost)} of the decoder's own generation options do not hold for the pair, as after "
        "SpeechEncoderDecoderModel.from_encoder_decoder_pretrained: --max-new-tokens and --num-beams store others"
    ]
