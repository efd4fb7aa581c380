"""Merges an adapter into the weights beside it, with peft, where that is installed."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch

from exporter.checkpoints.adapters import adapter_files
from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, brief_error


def merged(files: CheckpointFiles, model: Any) -> tuple[Any, str | None]:
    """The model with the adapter of its directory in its weights, and what was done, in words.

    Args:
        files: where the adapter is, if there is one; ``adapter_reasons`` has let pass what peft can merge.
        model: with the base model's weights.

    Raises:
        CheckpointError: peft cannot read the adapter, or its weights are not all of this model.
    """
    present = adapter_files(files.directory)
    if not present:
        return model, None
    import peft  # noqa: PLC0415 - only who has adapters needs it

    try:
        stored = peft.utils.load_peft_weights(str(files.directory), device="cpu")
        adapted = peft.PeftModel.from_pretrained(model, files.directory)
        loaded = peft.get_peft_model_state_dict(adapted)
    except Exception as error:  # peft raises what its many kinds of adapters raise
        raise CheckpointError(
            f"{files.source}: the adapter cannot be loaded: {brief_error(error)}"
        ) from error
    strange = [name for name, tensor in sorted(stored.items()) if not _is_in(tensor, loaded.get(name))]
    if strange:
        raise CheckpointError(
            f"{files.source}: {len(strange)} weights of the adapter have no place in the model, such as {strange[0]}: "
            "it belongs to another one"
        )
    note = (
        f"the adapter beside the weights ({', '.join(present)}) was merged into them with peft {version('peft')}, as "
        "transformers loads it where peft is installed"
    )
    return adapted.merge_and_unload(), note


def _is_in(tensor: torch.Tensor, loaded: torch.Tensor | None) -> bool:
    return loaded is not None and torch.equal(tensor, loaded.to(tensor.dtype))
