"""Reads what a checkpoint's small files say, before gigabytes of weights are touched."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    GenerationConfig,
    MBartConfig,
    SpeechEncoderDecoderConfig,
    Wav2Vec2Config,
)

from exporter.checkpoints.adapters import adapter_reasons
from exporter.checkpoints.companions.generation_defaults import (
    GENERATION_CONFIG,
    file_of,
    unsupported_options,
)
from exporter.checkpoints.own_code import code_reasons
from exporter.checkpoints.raw_config import PARTS, read_config_json, read_raw_config
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, UnsupportedModelError, brief_error
from graphs.support import reasons_against


def read_config(
    files: CheckpointFiles, ignored_generation_options: Collection[str] | None = None
) -> SpeechEncoderDecoderConfig:
    """Read config.json, and refuse with every reason at once what cannot be exported.

    Args:
        files: where it is.
        ignored_generation_options: refuse generation options that are neither neutral nor supported,
            but for these; None does not look at them.

    Raises:
        CheckpointError: a file is missing or unreadable.
        UnsupportedModelError: another model class, an unknown or unsupported part, code in the checkpoint,
            or generation options that cannot be obeyed.
    """
    found = read_raw_config(files)
    raw = found.document
    reasons = [*adapter_reasons(files.directory), *code_reasons(files.directory), *found.reasons]
    unknown = {part: raw[part].get("model_type") for part in PARTS}
    unknown = {part: kind for part, kind in unknown.items() if kind not in CONFIG_MAPPING}
    reasons += [_unknown_type(part, kind) for part, kind in unknown.items()]
    config = _parse(files, _with_stand_ins(raw, unknown))
    reasons += reasons_against(config)
    if ignored_generation_options is not None:
        generation = read_generation_config(files)
        reasons += unsupported_options(generation, ignored_generation_options, file=file_of(files))
    else:
        read_generation_config(files)  # a malformed file is refused all the same
    if reasons:
        raise UnsupportedModelError(files.source, reasons)
    return config


def read_part(files: CheckpointFiles, role: str) -> Any:
    """The configuration of a pretrained model that is to become one part of a pair.

    Raises:
        CheckpointError: config.json is missing or unreadable.
        UnsupportedModelError: its type is unknown, or it brings code.
    """
    raw = read_config_json(files)
    kind = raw.get("model_type")
    reasons = [*adapter_reasons(files.directory), *code_reasons(files.directory)]
    if kind not in CONFIG_MAPPING:
        reasons.append(_unknown_type(role, kind))
    if reasons:
        raise UnsupportedModelError(files.source, reasons)
    try:
        return AutoConfig.from_pretrained(files.directory, trust_remote_code=False)
    except Exception as error:  # transformers' strict configurations raise types of their own
        raise CheckpointError(
            f"{files.directory / 'config.json'} cannot be read by transformers: {brief_error(error)}"
        ) from error


def read_generation_config(files: CheckpointFiles) -> GenerationConfig:
    """As from_pretrained will find it, but a malformed file is refused instead of passed over in silence.

    Where there is no generation_config.json, the options stand in config.json, on its top and in the decoder's half.
    A parsed configuration has lost them.

    Raises:
        CheckpointError: generation_config.json is malformed, or an option in config.json is.
    """
    path = files.directory / GENERATION_CONFIG
    if not path.is_file():
        return options_of_config(files)
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(options, dict):
        raise CheckpointError(f"{path} holds no JSON object: remove it or save the model again")
    try:
        return GenerationConfig.from_pretrained(files.directory)
    except Exception as error:  # a value of another type than wanted ends in any builtin error
        raise CheckpointError(f"{path} cannot be read by transformers: {brief_error(error)}") from error


def options_of_config(files: CheckpointFiles) -> GenerationConfig:
    """The generation options in config.json, whatever generation_config.json says.

    Raises:
        CheckpointError: config.json is missing, or an option in it is malformed.
    """
    try:
        return GenerationConfig.from_model_config(dict(read_config_json(files)))
    except CheckpointError:
        raise
    except Exception as error:  # a value of another type than wanted ends in any builtin error
        raise CheckpointError(
            f"{files.directory / 'config.json'}: the generation options cannot be read by transformers: "
            f"{brief_error(error)}"
        ) from error


def _unknown_type(part: str, kind: object) -> str:
    return (
        f"{part} has model_type {kind!r}, which this transformers does not know: name one that it knows, or "
        "install the transformers version that brings it"
    )


def _with_stand_ins(raw: dict[str, Any], unknown: Collection[str]) -> dict[str, Any]:
    """In place of an unknown part one against which nothing can be said: the other part's reasons still show."""
    filled = dict(raw)
    if "encoder" in unknown:
        width = next(
            (raw["decoder"][name] for name in ("d_model", "hidden_size") if name in raw["decoder"]), 768
        )
        filled["encoder"] = Wav2Vec2Config(hidden_size=width, output_hidden_size=width).to_dict()
    if "decoder" in unknown:
        encoder = filled["encoder"]
        width = encoder.get("output_hidden_size", encoder.get("hidden_size", 768))
        roles = {"is_decoder": True, "add_cross_attention": True}
        filled["decoder"] = {**MBartConfig(d_model=width).to_dict(), **roles}
    return filled


def _parse(files: CheckpointFiles, raw: dict[str, Any]) -> SpeechEncoderDecoderConfig:
    try:
        return SpeechEncoderDecoderConfig.from_dict(raw)
    except Exception as error:  # transformers' strict configurations raise types of their own
        raise CheckpointError(
            f"{files.directory / 'config.json'} cannot be read by transformers: {brief_error(error)}"
        ) from error
