"""Loads weights completely, or names those that are missing, unexpected or mis-shaped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from exporter.checkpoints.adapters import adapter_files
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.checkpoints.speech2text2 import NOTE, was_speech2text2, with_positions
from exporter.checkpoints.weights.adapter import merged
from exporter.checkpoints.weights.blank import blank_model
from exporter.checkpoints.weights.files import find_weight_files
from exporter.checkpoints.weights.flax import flax_tensors
from exporter.checkpoints.weights.judge import Verdict, judge
from exporter.checkpoints.weights.names import Renaming, fitting, is_wrapped
from exporter.checkpoints.weights.record import WeightsRecord, listed
from exporter.checkpoints.weights.stored import Stored, open_tensors
from exporter.checkpoints.weights.ties import broken_ties
from exporter.errors import CheckpointError, brief_error

_MOST = 8


@dataclass(frozen=True)
class Fit:
    """How weights have to fit a model."""

    role: str = ""
    """``encoder`` or ``decoder`` where the file is that of one half."""
    may_be_missing: frozenset[str] = frozenset()
    """Names of weights that transformers may initialise."""
    ignored: tuple[str, ...] = ()
    """Patterns of names that the file may have beyond the model's."""
    advice: str = ""
    """What to do where weights do not fit, appended to the message."""
    key_mapping: Mapping[str, str] = field(default_factory=dict)
    """Regular expression -> replacement, for names in the file."""


def load_weights(factory: Any, files: CheckpointFiles, config: Any, fit: Fit) -> tuple[Any, WeightsRecord]:
    """A model in evaluation mode, float32; files are mapped, not read.

    Args:
        factory: SpeechEncoderDecoderModel, or one of the Auto classes.
        files: where the weights are.
        config: the model's configuration.
        fit: which weights may be missing or too many.

    Raises:
        CheckpointError: the weights cannot be read, or do not fit the configuration.
    """
    stored, converted = _opened(factory, files, config, fit)
    _refuse_unmerged(files, stored)
    renaming = _renaming(factory, files, config, stored)
    tensors = {renaming(name): tensor for name, tensor in stored.tensors.items()}
    if was_speech2text2(getattr(config, "decoder", None)):
        tensors, converted = with_positions(tensors, config.decoder), (*converted, NOTE)
    # Files as they are go transformers' usual way, so that it stays the judge of what they mean.
    # Not those with an adapter beside: transformers would take it or not, as peft is installed or not.
    renamed = bool(renaming.removed) or stored.wrapper is not None or stored.form == "flax"
    changed = renamed or bool(converted) or bool(adapter_files(files.directory))
    default_dtype = _default_dtype(config, stored)
    model, info = _load(factory, files, config, tensors, fit, as_they_are=not changed)
    missing = set(info["missing_keys"])
    verdict = judge(
        model,
        tensors,
        missing=missing - fit.may_be_missing,
        unexpected=info["unexpected_keys"],
        role=fit.role,
        ignored=fit.ignored,
    )
    _require_known_names(files, model, tensors, missing)
    problems = _problems(verdict, info["mismatched_keys"])
    if problems:
        raise CheckpointError(_refusal(files, problems, verdict) + fit.advice)
    model, adapted = merged(files, model)
    record = WeightsRecord(
        form=stored.form,
        dtypes=stored.dtypes,
        default_dtype=default_dtype,
        removed=renaming.removed,
        wrapper=stored.wrapper,
        accepted=verdict.accepted,
        initialised=tuple(sorted(missing & fit.may_be_missing)),
        broken_ties=broken_ties(model, fit.role),
        converted=(*converted, *([adapted] if adapted else [])),
    )
    return model.eval(), record


def _opened(factory: Any, files: CheckpointFiles, config: Any, fit: Fit) -> tuple[Stored, tuple[str, ...]]:
    found = find_weight_files(files)
    if found.form == "flax":
        return flax_tensors(files, found, blank_model(factory, files, config), whole=not fit.role)
    return open_tensors(files, found), ()


def _refuse_unmerged(files: CheckpointFiles, stored: Stored) -> None:
    found = next((name for name in stored.tensors if ".lora_A." in name or ".base_layer." in name), None)
    if found is not None:
        raise CheckpointError(
            f"{files.source}: the weights hold an adapter that is not merged ({found}): call merge_and_unload() on "
            "the peft model, then save_pretrained()"
        )


def _require_known_names(
    files: CheckpointFiles, model: Any, tensors: Mapping[str, Tensor], missing: Collection[str]
) -> None:
    """Where not one weight found its place, all names together say no more than two of them."""
    wanted, foreign = sorted(model.state_dict()), sorted(tensors)
    if set(wanted) - set(missing) - set(model.all_tied_weights_keys):
        return
    ends = {name.rpartition(".")[2] for name in wanted}
    alike = next((name for name in foreign if name.rpartition(".")[2] in ends), foreign[0])
    twin = next((name for name in wanted if alike.endswith(f".{name}")), wanted[0])
    raise CheckpointError(
        f"{files.source}: none of the {len(foreign)} weights has a name that the model knows: the file has {alike}, "
        f"the model {twin}; save the {type(model).__name__} itself with save_pretrained()"
    )


def _renaming(factory: Any, files: CheckpointFiles, config: Any, stored: Stored) -> Renaming:
    names = stored.tensors.keys()
    if not is_wrapped(names):
        return Renaming()
    return fitting(names, blank_model(factory, files, config).state_dict().keys())


def _load(
    factory: Any,
    files: CheckpointFiles,
    config: Any,
    tensors: Mapping[str, Tensor],
    fit: Fit,
    *,
    as_they_are: bool,
) -> tuple[Any, Mapping[str, Any]]:
    try:
        source: dict[str, Any] = {"pretrained_model_name_or_path": files.directory}
        if not as_they_are:
            factory = type(blank_model(factory, files, config))
            source = {"pretrained_model_name_or_path": None, "state_dict": dict(tensors)}
        return factory.from_pretrained(
            **source,
            config=config,
            output_loading_info=True,
            dtype=torch.float32,
            trust_remote_code=False,
            weights_only=True,
            # Mis-shaped weights are listed with the missing and unexpected ones, by name.
            ignore_mismatched_sizes=True,
            key_mapping=dict(fit.key_mapping) or None,
        )
    except Exception as error:  # safetensors, pickle and transformers each raise types of their own
        misshapen = _misshapen(factory, files, config, tensors)
        if misshapen:
            raise CheckpointError(_refusal(files, [misshapen], Verdict())) from error
        raise CheckpointError(
            f"{files.source}: the weights cannot be loaded: {brief_error(error)}"
        ) from error


def _misshapen(
    factory: Any, files: CheckpointFiles, config: Any, tensors: Mapping[str, Tensor]
) -> str | None:
    """Weights of another shape than the model's, where transformers fails before it has compared them (ties)."""
    wanted = blank_model(factory, files, config).state_dict()
    shapes = [
        (name, tuple(tensors[name].shape), tuple(own.shape))
        for name, own in wanted.items()
        if name in tensors and tensors[name].shape != own.shape
    ]
    return next(iter(_problems(Verdict(), shapes)), None)


def _problems(verdict: Verdict, mismatched: Collection[Any]) -> list[str]:
    shapes = {
        f"{name} (file {list(in_file)}, model {list(in_model)})" for name, in_file, in_model in mismatched
    }
    found = {"missing": verdict.missing, "unexpected": verdict.unexpected, "mis-shaped": shapes}
    return [f"{len(names)} {kind}: {_listed(names)}" for kind, names in found.items() if names]


def _listed(names: Collection[str]) -> str:
    """All of a few names; of many those that differ in more than the layer's number, and of these the first."""
    return ", ".join(sorted(names)) if len(names) <= _MOST else listed(names, _MOST)


def _refusal(files: CheckpointFiles, problems: list[str], verdict: Verdict) -> str:
    only_extra = all(" unexpected: " in problem for problem in problems)
    gaps = "" if only_extra else ", and transformers would fill the gaps with random numbers"
    way_out = (
        "; the file belongs to a model with more parts than this class has: export what it was trained as, or, "
        "if these have no part in decoding, accept them by name with --ignore-weights"
        if verdict.unexpected
        else ""
    )
    return f"{files.source}: the weights do not fit the configuration{gaps}: {'; '.join(problems)}{way_out}"


def _default_dtype(config: Any, stored: Stored) -> str:
    declared = getattr(config, "dtype", None)
    return str(declared).removeprefix("torch.") if declared is not None else stored.first_dtype
