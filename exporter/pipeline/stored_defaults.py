"""The decoding defaults of a bundle: the checkpoint's, the user's over them, held against what the decoder takes.

What eager PyTorch can decode with is stored, cut where no call could ever have it; what it cannot is refused here,
before any graph, and so is an option of the user's own that cannot be met.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.checkpoints.companions.generation_defaults import (
    file_of,
    options_from,
    supported_values,
)
from exporter.errors import CheckpointError, ExportError
from exporter.options import ExportOptions
from exporter.pipeline.overruled_options import followed_by_transformers_4, lost_by_joining
from graphs import DecoderGeometry
from s2t_runtime.errors import OptionError
from s2t_runtime.options.generation import GenerationOptions
from s2t_runtime.options.lengths import longest_sequence
from s2t_runtime.options.plan import SearchPlan, plan_search

_ONE: Final = ("decoder_start_token_id", "bos_token_id", "forced_bos_token_id")
"""Options of one token, which eager takes as a list of one as well."""
_WITHOUT_EFFECT: Final = {
    "eos_token_id": ", so that it never ends a text",
    "pad_token_id": ", so that it cannot be fed to texts that have ended",
    "suppress_tokens": ", so that it suppresses nothing",
    "begin_suppress_tokens": ", so that it suppresses nothing",
}
"""Options whose ids eager never looks up, with what such an id comes to that no token has."""
_LIMITS: Final = {"max_length": 0, "min_length": 0, "max_new_tokens": 1, "min_new_tokens": 1}
"""Lengths, with how many tokens of the prompt they leave out: a bundle's own prompt is the start token."""


@dataclass(frozen=True)
class StoredDefaults:
    """What a bundle stores, and how it differs from what the checkpoint does."""

    options: GenerationOptions
    file: str
    """Where the checkpoint's own stand."""
    changed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Option -> the checkpoint's value, where the bundle's is another that decodes alike."""
    notes: tuple[str, ...] = ()
    """A sentence for each of these, and for a minimum that no default length reaches."""


def stored_defaults(
    checkpoint: Checkpoint, options: ExportOptions, geometry: DecoderGeometry
) -> StoredDefaults:
    """Find them, before any graph is made.

    Args:
        checkpoint: the loaded model.
        options: of the export: its max_new_tokens, num_beams and ignored_generation_options.
        geometry: of the decoder.

    Raises:
        UnsupportedModelError: a generation option is neither neutral nor supported.
        CheckpointError: no start token is known, or an option has a value that no search can have.
        ExportError: ``options.max_new_tokens`` is more than the decoder takes.
    """
    is_pair = checkpoint.origin.kind == "pair"
    source = checkpoint.files.source
    file = "config.json" if is_pair else file_of(checkpoint.files)
    values = supported_values(
        source, checkpoint.model.generation_config, ignored=options.ignored_generation_options, file=file
    )
    _refuse_empty(source, file, values)
    known, unknown = with_known_ids(values, geometry.vocab_size)
    found = options_from(source, known, file=file)
    _require_room(options, geometry.max_positions)
    found, cut = within_positions(_with_users(found, options), geometry.max_positions)
    _require_plan(source, file, found, geometry)
    notes = [
        *_left_out(unknown, file, geometry),
        *_shortened(cut, found, file, geometry),
        *(_unreachable(found, file, geometry) or _unstated(found, file, geometry)),
        *(lost_by_joining(checkpoint) if is_pair else followed_by_transformers_4(checkpoint)),
    ]
    return StoredDefaults(found, file, {**{name: values[name] for name in unknown}, **cut}, tuple(notes))


def _refuse_empty(source: str, file: str, values: Mapping[str, Any]) -> None:
    """Empty lists that eager cannot decode with, though a search could."""
    if values.get("forced_eos_token_id") == []:
        raise CheckpointError(
            f"{source}: {file}: forced_eos_token_id is [], with which eager PyTorch cannot decode; name a token, or "
            "leave it out with --ignore-generation-option"
        )
    if values.get("eos_token_id") == [] and values.get("pad_token_id") is None:
        raise CheckpointError(
            f"{source}: {file}: eos_token_id is [] and there is no pad_token_id, with which eager PyTorch cannot "
            "decode; name one of them, or leave eos_token_id out with --ignore-generation-option"
        )


def with_known_ids(
    values: Mapping[str, Any], vocab_size: int
) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Options without the ids that eager never looks up and no token has; and those ids, by option.

    Args:
        values: option -> value, as a checkpoint stores it.
        vocab_size: of the decoder.
    """
    known, unknown = dict(values), {}
    for name in _ONE:
        value = known.get(name)
        if isinstance(value, list | tuple) and len(value) == 1:
            known[name] = value[0]
    for name in _WITHOUT_EFFECT:
        if name == "eos_token_id" and known.get("exponential_decay_length_penalty"):
            continue  # which looks end tokens up
        value = known.get(name)
        ids = value if isinstance(value, list | tuple) else (value,)
        beyond = tuple(token for token in ids if _is_beyond(token, vocab_size))
        if beyond:
            unknown[name] = beyond
            # Without a padding token the first end token stands in.
            known[name] = None if name == "pad_token_id" else [token for token in ids if token not in beyond]
    if known.get("decoder_start_token_id") is not None and _is_beyond(known.get("bos_token_id"), vocab_size):
        known["bos_token_id"] = None  # it would stand in for the start token
    return {name: value for name, value in known.items() if value is not None}, unknown


def _is_beyond(token: object, vocab_size: int) -> bool:
    return type(token) is int and not 0 <= token < vocab_size


def _with_users(stored: GenerationOptions, options: ExportOptions) -> GenerationOptions:
    return dataclasses.replace(
        stored,
        max_new_tokens=options.max_new_tokens or stored.max_new_tokens,
        num_beams=options.num_beams or stored.num_beams,
    )


def _require_room(options: ExportOptions, positions: int | None) -> None:
    asked = options.max_new_tokens
    if asked is not None and positions is not None and asked >= longest_sequence(positions):
        raise ExportError(
            f"max_new_tokens is {asked}, but the decoder's {positions} positions take {positions} new tokens at most: "
            f"give --max-new-tokens {positions} or less"
        )


def within_positions(
    options: GenerationOptions, positions: int | None
) -> tuple[GenerationOptions, dict[str, int]]:
    """Cut lengths at the longest sequence behind a start token that the decoder takes.

    Args:
        options: stored defaults.
        positions: of the decoder; None: any number.

    Returns:
        The options, and those that were cut with the value that they had.
    """
    if positions is None:
        return options, {}
    limits = {name: longest_sequence(positions) - prompt for name, prompt in _LIMITS.items()}
    cut = {
        name: value
        for name, limit in limits.items()
        if (value := getattr(options, name)) is not None and value > limit
    }
    kept = {name: limits[name] for name in cut}
    return GenerationOptions.from_dict({**options.to_dict(), **kept}), cut


def _require_plan(source: str, file: str, options: GenerationOptions, geometry: DecoderGeometry) -> None:
    """See that a call which sets nothing can be served."""
    if options.decoder_start_token_id is None and options.bos_token_id is None:
        raise CheckpointError(
            f"{source} names no start token, which decoding begins with: neither decoder_start_token_id nor "
            f"bos_token_id is in {file}; write decoder_start_token_id there"
        )
    try:
        _plan(options, geometry)
    except OptionError as error:
        raise CheckpointError(
            f"{source}: {file}: {error}, or leave it out with --ignore-generation-option"
        ) from error


def _plan(options: GenerationOptions, geometry: DecoderGeometry) -> SearchPlan:
    return plan_search(
        options,
        GenerationOptions(),
        languages={},
        vocab_size=geometry.vocab_size,
        max_positions=geometry.max_positions,
    )


def _left_out(unknown: Mapping[str, tuple[int, ...]], file: str, geometry: DecoderGeometry) -> Iterator[str]:
    for name, ids in unknown.items():
        yield (
            f"{name} of {file} has {', '.join(map(str, ids))}, wanted tokens from 0 to {geometry.vocab_size - 1}"
            f"{_WITHOUT_EFFECT[name]}: left out"
        )


def _shortened(
    cut: Mapping[str, int], options: GenerationOptions, file: str, geometry: DecoderGeometry
) -> Iterator[str]:
    for name, value in cut.items():
        yield (
            f"{name} {value} of {file} is more than the decoder's {geometry.max_positions} positions take: the "
            f"bundle has {getattr(options, name)}"
        )


def _unreachable(options: GenerationOptions, file: str, geometry: DecoderGeometry) -> list[str]:
    """A sentence where the default minimum is above the default maximum."""
    longest = _plan(options, geometry).max_length
    name = "min_length" if options.min_new_tokens is None else "min_new_tokens"
    least = getattr(options, name)
    if least is None or least <= longest - _LIMITS[name]:
        return []
    return [
        f"{name} {least} of {file} is more than the {longest} tokens of a text by default, start token included: as "
        "in eager PyTorch no end token comes before the last one; store a longer text with --max-new-tokens, or "
        f"leave {name} out with --ignore-generation-option"
    ]


def _unstated(options: GenerationOptions, file: str, geometry: DecoderGeometry) -> list[str]:
    """A sentence where nobody has said how long a text may be, and transformers' own number holds."""
    if options.max_length is not None or options.max_new_tokens is not None:
        return []
    longest = _plan(options, geometry).max_length
    return [
        f"{file} says nothing of how long a text may be: as in eager PyTorch it ends after {longest} tokens, start "
        "token included; store another length with --max-new-tokens"
    ]
