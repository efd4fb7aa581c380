"""How short, how long, and how padded audio may be: measured on the checkpoint itself."""

from __future__ import annotations

import torch

from exporter.checkpoint import Checkpoint
from exporter.errors import CheckpointError
from graphs.encoder import EncoderGraph, frame_lengths
from graphs.features import WaveformFeatures

_LONGEST_MINIMUM_S = 10
_SAFE_RELATIVE_DIFFERENCE = 1e-4
_LENGTHS = 8
"""As many as three adapter layers of stride two have remainders."""


def min_samples(checkpoint: Checkpoint) -> int:
    """The fewest samples that give one frame, 400 for wav2vec2's convolutions.

    Raises:
        CheckpointError: not even ten seconds give a frame.
    """
    encoder = checkpoint.model.encoder
    lengths = torch.arange(1, _LONGEST_MINIMUM_S * checkpoint.features.sampling_rate)
    frames = frame_lengths(encoder, lengths)
    enough = torch.nonzero(frames >= 1)
    if not len(enough):
        raise CheckpointError(
            f"the encoder gives no frame for {_LONGEST_MINIMUM_S} s of audio: check conv_kernel and conv_stride"
        )
    return int(lengths[enough[0]])


def padding_is_safe(checkpoint: Checkpoint, minimum: int) -> bool:
    """Whether an utterance's states stay the same when it is padded in a batch.

    They do not with group norm (its statistics run over the padding), with an adapter (its
    convolutions reach into padded frames) or without a padding mask. Hosts then encode utterances
    alone, so that a result never depends on its neighbours.
    """
    # An adapter reaches into the padding only where a strided layer's frames do not come out even, so a
    # single length can look safe: these differ by one frame each.
    frame = int(checkpoint.model.encoder.config.inputs_to_logits_ratio)
    return all(_is_safe(checkpoint, 8 * minimum + 77 + more * frame) for more in range(_LENGTHS))


def _is_safe(checkpoint: Checkpoint, length: int) -> bool:
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn((1, 3 * length), generator=generator) * 0.1
    alone = _states(checkpoint, audio[:, :length], length)
    padded = _states(checkpoint, audio, length)[:, : alone.shape[1]]
    difference = (alone - padded).abs().max() / alone.abs().max().clamp_min(1e-9)
    return bool(difference < _SAFE_RELATIVE_DIFFERENCE)


def _states(checkpoint: Checkpoint, audio: torch.Tensor, length: int) -> torch.Tensor:
    module = EncoderGraph(checkpoint.model, checkpoint.features)
    lengths = torch.tensor([length])
    valid = torch.arange(audio.shape[1])[None, :] < lengths[:, None]
    with torch.no_grad():
        values = WaveformFeatures(checkpoint.features)(audio, valid)
        return module.encode(values, valid, lengths)[0]
