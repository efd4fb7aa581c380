"""A model without memory for its weights."""

from __future__ import annotations

from typing import Any

import torch

from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.errors import CheckpointError, brief_error


def blank_model(factory: Any, files: CheckpointFiles, config: Any) -> Any:
    """The model, to look at names, shapes and module types, or to see that there can be one.

    Args:
        factory: SpeechEncoderDecoderModel, or one of the Auto classes.
        files: where config.json is, for the message.
        config: the model's configuration.

    Raises:
        CheckpointError: the configuration has a value that its classes cannot be built with.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return (
                factory.from_config(config) if hasattr(factory, "_model_mapping") else factory(config=config)
            )
    except Exception as error:  # whatever a class of transformers does with a value that it does not know
        raise CheckpointError(
            f"{files.directory / 'config.json'}: no model can be built with these values: {brief_error(error)}"
        ) from error
