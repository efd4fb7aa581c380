"""Loads weights completely, or names every one that is missing, unexpected or mis-shaped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, brief_error


def load_weights(
    factory: Any,
    files: CheckpointFiles,
    *,
    may_be_missing: Collection[str] = (),
    may_be_unused: bool = False,
    advice: str = "",
    **options: Any,
) -> tuple[Any, tuple[str, ...]]:
    """A model in evaluation mode, float32; safetensors before pytorch_model.bin, which is mapped, not read.

    Args:
        factory: a class with from_pretrained.
        files: where config and weights are.
        may_be_missing: names of weights that transformers may initialise.
        may_be_unused: the file may hold weights that the model has no place for (heads of a pretraining).
        advice: what to do where weights do not fit, appended to the message.
        options: passed on to from_pretrained.

    Returns:
        The model, and the names of the weights that were initialised, sorted.

    Raises:
        CheckpointError: the weights cannot be read, or do not fit the configuration; all are named.
    """
    try:
        loaded: Any = factory.from_pretrained(
            files.directory,
            output_loading_info=True,
            dtype=torch.float32,
            trust_remote_code=False,
            weights_only=True,
            # Mis-shaped weights are listed with the missing and unexpected ones, by name.
            ignore_mismatched_sizes=True,
            **options,
        )
    except Exception as error:  # safetensors, pickle and transformers each raise types of their own
        raise CheckpointError(
            f"{files.source}: the weights cannot be loaded: {brief_error(error)}"
        ) from error
    model, info = loaded
    missing = set(info["missing_keys"])
    problems = _weight_problems(
        {
            "missing": missing - set(may_be_missing),
            "unexpected": set() if may_be_unused else set(info["unexpected_keys"]),
        },
        info["mismatched_keys"],
    )
    if problems:
        raise CheckpointError(
            f"{files.source}: the weights do not fit the configuration, and transformers would fill the gaps "
            "with random numbers: " + "; ".join(problems) + advice
        )
    return model.eval(), tuple(sorted(missing))


def _weight_problems(names: Mapping[str, set[str]], mismatched: Collection[Any]) -> list[str]:
    shapes = {
        f"{name} (file {list(in_file)}, model {list(in_model)})" for name, in_file, in_model in mismatched
    }
    found = {**names, "mis-shaped": shapes}
    return [f"{len(some)} {kind}: {', '.join(sorted(some))}" for kind, some in found.items() if some]
