"""Flax's files as weights of torch's model."""

from __future__ import annotations

import re
from typing import Any

from exporter.checkpoints.sources.files import CheckpointFiles
from exporter.checkpoints.weights.files import WeightFiles
from exporter.checkpoints.weights.flax_files import read_flax
from exporter.checkpoints.weights.flax_names import move_positions, torch_state
from exporter.checkpoints.weights.stored import Stored
from exporter.errors import CheckpointError

_MOVED = "Flax counts positions from 0 and PyTorch from behind the padding id: {name} was moved accordingly"
_OWN_CODE = re.compile(r"Flax\w*Layers|fused_\w+|qkv_proj")
"""Parts of models whose layers are scanned, or whose products are fused, by code that lies beside their weights."""


def flax_tensors(
    files: CheckpointFiles, found: WeightFiles, blank: Any, *, whole: bool
) -> tuple[Stored, tuple[str, ...]]:
    """The weights under torch's names, and what was changed beside names and orientation, in words.

    Args:
        files: what messages call them.
        found: the files.
        blank: the model, whose weights are not looked at.
        whole: of a SpeechEncoderDecoderModel, and not of one half.

    Raises:
        CheckpointError: a file is damaged, or its weights are those of code that transformers never had.
    """
    flat = read_flax(found.paths)
    strange = next((key for keys in flat for key in keys if _OWN_CODE.fullmatch(key)), None)
    if strange is not None:
        raise CheckpointError(
            f"{files.source}: the Flax weights are those of code of the checkpoint's own ({strange}), which computes "
            "several layers or products at once: save it with the Flax class of transformers 4, unrolled"
        )
    tensors = torch_state(flat, blank)
    moved = move_positions(tensors, blank) if whole else ()
    if moved:
        _refuse_padding_start(files, blank.config)
    return Stored("flax", tensors), tuple(_MOVED.format(name=name) for name in moved)


def _refuse_padding_start(files: CheckpointFiles, config: Any) -> None:
    start = getattr(config, "decoder_start_token_id", None)
    if start is not None and start == config.decoder.pad_token_id:
        raise CheckpointError(
            f"{files.source}: decoder_start_token_id {start} is pad_token_id too, and PyTorch gives padding a position "
            "of its own, where Flax gives none: no table of positions gives both; name another start token"
        )
