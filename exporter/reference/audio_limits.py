"""How short, how long, and how padded audio may be: measured on the checkpoint itself."""

from __future__ import annotations

import torch
from torch import Tensor

from exporter.checkpoints.checkpoint import Checkpoint
from exporter.errors import CheckpointError, brief_error
from exporter.reference.eager import EagerReference
from exporter.reference.probe_audio import probe_utterance
from graphs import EncoderGraph, LogMelSettings
from graphs.encoder.graph import feature_module, frame_lengths
from graphs.encoder.log_mel import STACKED

_LONGEST_MINIMUM_S = 10
_SAFE_RELATIVE_DIFFERENCE = 1e-4
_REMAINDERS = 8
"""As many as three adapter layers of stride two have."""


def min_samples(checkpoint: Checkpoint) -> int:
    """The fewest samples that feature extractor and encoder give a frame for, found by running them.

    400 for wav2vec2's convolutions; 720 for SEW, which squeezes two frames into one; 560 for wav2vec2-bert,
    which stacks two frames and cannot normalise a single one.

    Raises:
        CheckpointError: extractor and encoder do not fit together, or not even ten seconds give a frame.
    """
    _require_fitting_extractor(checkpoint)
    longest = _LONGEST_MINIMUM_S * checkpoint.features.sampling_rate
    frames = _frames(checkpoint, torch.arange(longest + 1))
    enough = torch.nonzero(frames >= 1)
    # Where the encoder's own count begins is where to begin: not all encoders run at that length.
    works, fails, problem = int(enough[0]) if len(enough) else longest, 0, None
    while (found := _problem(checkpoint, works)) is not None:
        if works == longest:
            raise CheckpointError(
                f"the encoder gives no frame for {_LONGEST_MINIMUM_S} s of audio: check conv_kernel and conv_stride "
                f"({found})"
            )
        fails, works, problem = works, min(2 * works, longest), found
    while problem is not None and works - fails > 1:
        middle = (works + fails) // 2
        works, fails = (middle, fails) if _problem(checkpoint, middle) is None else (works, middle)
    return works


def _frames(checkpoint: Checkpoint, lengths: Tensor) -> Tensor:
    return frame_lengths(checkpoint.model.encoder, feature_module(checkpoint.features).lengths(lengths))


def _require_fitting_extractor(checkpoint: Checkpoint) -> None:
    encoder, extractor = checkpoint.model.encoder, checkpoint.extractor
    family, kind = checkpoint.model.config.encoder.model_type, type(extractor).__name__
    wanted, given = str(encoder.main_input_name), str(extractor.model_input_names[0])
    if wanted != given:
        raise CheckpointError(
            f"{kind} gives {given} and the encoder ({family}) takes {wanted}: save the encoder's own feature "
            "extractor with the checkpoint"
        )
    width = getattr(encoder.config, "feature_projection_input_dim", None)
    settings = checkpoint.features
    if width is None or not isinstance(settings, LogMelSettings) or width == STACKED * settings.mel_bins:
        return
    raise CheckpointError(
        f"{kind} with num_mel_bins {settings.mel_bins} gives {STACKED * settings.mel_bins} numbers per frame and the "
        f"encoder ({family}) has feature_projection_input_dim {width}: set num_mel_bins to what it was trained with"
    )


def _problem(checkpoint: Checkpoint, length: int) -> str | None:
    """What eager says against audio of this length; None where it gives finite states."""
    rate = checkpoint.features.sampling_rate
    reference, waveform = EagerReference(checkpoint), probe_utterance(length / rate, rate, 0)
    try:
        features = reference.features([waveform])
        encoding = reference.encode([waveform])
    except (RuntimeError, ValueError, IndexError) as error:  # each layer complains in its own way
        return brief_error(error)
    # A single frame of log-mel is masked, and the encoder then makes something of nothing.
    if not features.get("attention_mask", torch.ones(1)).any():
        return "the feature extractor masks all of it"
    given = [features[reference.input_name], encoding.states[encoding.mask]]
    return (
        None
        if all(len(values) and bool(torch.isfinite(values).all()) for values in given)
        else "no finite states"
    )


def padding_is_safe(checkpoint: Checkpoint, minimum: int) -> bool:
    """Whether an utterance's states stay the same when it is padded in a batch.

    They do not with group norm (its statistics run over the padding), with convolutions that reach into
    padded frames (conformer blocks, adapters, squeezing) or without a padding mask. Hosts then encode
    utterances alone, so that a result never depends on its neighbours.
    """
    # A strided layer reaches into the padding only where frames do not come out even, so a single length
    # can look safe. Half frames, because wav2vec2-bert stacks two into one.
    module = EncoderGraph(checkpoint.model, checkpoint.features).eval()
    half = _frame_step(module) // 2
    return all(_is_safe(module, 8 * minimum + 77 + more * half) for more in range(2 * _REMAINDERS))


def _frame_step(module: EncoderGraph) -> int:
    """Samples from one frame to the next, adapters left aside."""
    lengths = torch.arange(1, _LONGEST_MINIMUM_S * module.features.settings.sampling_rate)
    frames = frame_lengths(module.encoder, module.features.lengths(lengths), before_adapter=True)
    firsts = torch.searchsorted(frames, torch.tensor([1, 2]))
    return int(firsts[1] - firsts[0])


def _is_safe(module: EncoderGraph, length: int) -> bool:
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn((1, 3 * length), generator=generator) * 0.1
    alone, mask = _encoded(module, audio[:, :length], length)
    padded, padded_mask = _encoded(module, audio, length)
    if int(mask.sum()) != int(padded_mask.sum()):
        return False
    alone, padded = alone[mask], padded[padded_mask]
    difference = (alone - padded).abs().max() / alone.abs().max().clamp_min(1e-9)
    return bool(difference < _SAFE_RELATIVE_DIFFERENCE)


def _encoded(module: EncoderGraph, audio: Tensor, length: int) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return module.encode(audio, torch.tensor([length]))
