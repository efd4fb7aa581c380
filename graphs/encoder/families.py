"""What a few encoder families need beyond the common interfaces, each with its reason; all others need no entry.

Results stay the same, and so does the encoder: everything is set for the time of one call and given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_ROTARY_CACHE = ("cached_sequence_length", "cached_rotary_positional_embedding")


class PositionTables(nn.Module):
    """Relative positions of wav2vec2-conformer and wav2vec2-bert, for the longest audio.

    Their tables end at ``max_source_positions``. Eager extends them when audio outgrows them; a trace
    keeps the table that it found, and slices beyond its end are cut short without an error.
    """

    def __init__(self, encoder: nn.Module, frames: int) -> None:
        """Extend the tables of ``encoder`` to ``frames``, by its own code; those that reach so far are kept."""
        super().__init__()
        self.owners: list[Any] = [module for module in encoder.modules() if hasattr(module, "extend_pe")]
        for number, owner in enumerate(self.owners):
            table = owner.extend_pe(torch.zeros((1, max(frames, 1))), owner.pe)
            self.register_buffer(f"table_{number}", table, persistent=False)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the encoder use these tables."""
        kept = [owner.pe for owner in self.owners]
        for number, owner in enumerate(self.owners):
            owner.pe = getattr(self, f"table_{number}")
        try:
            yield
        finally:
            # Its forward puts an extended table back into the module, which is not ours to change.
            for owner, table in zip(self.owners, kept, strict=True):
                owner.pe = table


@contextmanager
def traceable_encoder(encoder: nn.Module) -> Iterator[None]:
    """Make right at every length what a trace would take over from its own."""
    with ExitStack() as stack:
        for module in encoder.modules():
            if all(hasattr(module, name) for name in _ROTARY_CACHE):
                stack.enter_context(_attributes(module, dict.fromkeys(_ROTARY_CACHE)))
            if all(hasattr(module, name) for name in ("pool", "pos_conv_embed", "upsample")):
                stack.enter_context(_lengths_kept(module))
        yield


@contextmanager
def _attributes(module: nn.Module, values: dict[str, Any]) -> Iterator[None]:
    """Rotary positions of wav2vec2-conformer and wav2vec2-bert are kept from call to call.

    At the traced length they would be found there, and become a constant of that length.
    """
    kept = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(module, name, value)


@contextmanager
def _lengths_kept(encoder: Any) -> Iterator[None]:
    """SEW and SEW-D squeeze frames, and fill up with zeros what squeezing dropped.

    Whether there is anything to fill up, and whether the positional convolution gave a frame too many
    (with an odd kernel), they ask by ``if`` and ``min``. A trace keeps the answers of its own length, so
    here the convolution's output is cut and the upsampled states are filled up without asking.
    """
    squeeze = encoder.config.squeeze_factor
    frames: list[Any] = []

    def positions(states: Tensor) -> Tensor:
        frames[:] = [states.shape[-1]]
        result: Tensor = type(encoder.pos_conv_embed).forward(encoder.pos_conv_embed, states)
        return result[..., : states.shape[-1] // squeeze]

    def upsample(states: Tensor) -> Tensor:
        result: Tensor = type(encoder.upsample).forward(encoder.upsample, states)
        return nn.functional.pad(result, (0, 0, 0, frames[0] - result.shape[1]))

    replaced = {encoder.pos_conv_embed: positions, encoder.upsample: upsample}
    for module, forward in replaced.items():
        module.forward = forward
    try:
        yield
    finally:
        for module in replaced:
            del module.forward
