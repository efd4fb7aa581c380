"""The one table of sizes behind every optimisation profile: named axes and shape values -> ranges.

TensorRT wants a minimum, optimum and maximum of every input of every graph. The inputs share their axes, so
ranges are decided once, by axis, and each graph takes the rows that its inputs have. compile-s2t and ONNX
Runtime's TensorRT providers read the same table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from s2t_runtime.bundles.engine_record import AxisRange, Profile
from s2t_runtime.bundles.manifest import Manifest, TensorInfo

DEFAULT_MAX_AUDIO_S: Final = 30.0
DEFAULT_MAX_BATCH: Final = 4
DEFAULT_MAX_BEAMS: Final = 5
DEFAULT_MAX_LENGTH: Final = 200
DEFAULT_MAX_PROMPT: Final = 16
_USUAL_AUDIO_S: Final = 10.0
_USUAL_PAST: Final = 32


@dataclass(frozen=True)
class Sizes:
    """The largest request.

    Attributes:
        batch: utterances at once.
        beams: sequences per utterance.
        length: tokens of a sequence.
        prompt: tokens fed at once.
    """

    batch: int = DEFAULT_MAX_BATCH
    beams: int = DEFAULT_MAX_BEAMS
    length: int = DEFAULT_MAX_LENGTH
    prompt: int = DEFAULT_MAX_PROMPT


def default_sizes(manifest: Manifest) -> Sizes:
    """The defaults, within what the decoder takes."""
    positions = manifest.decoder.max_positions
    # The last token of a sequence is never fed, so it needs no position.
    longest = DEFAULT_MAX_LENGTH if positions is None else positions + 1
    return Sizes(length=min(DEFAULT_MAX_LENGTH, longest))


def default_samples(manifest: Manifest) -> AxisRange:
    """Audio from the bundle's minimum to DEFAULT_MAX_AUDIO_S, or to the bundle's maximum."""
    audio = manifest.audio
    longest = min(round(DEFAULT_MAX_AUDIO_S * audio.sampling_rate), audio.max_samples)
    return samples_range(audio.min_samples, longest, audio.sampling_rate)


def samples_range(shortest: int, longest: int, sampling_rate: int) -> AxisRange:
    """A range of audio lengths, for which kernels are tuned at about ten seconds."""
    usual = round(_USUAL_AUDIO_S * sampling_rate)
    return AxisRange(shortest, max(shortest, min(usual, longest)), longest)


def table_of(name: str, manifest: Manifest, samples: AxisRange, frames: AxisRange, sizes: Sizes) -> Profile:
    """A profile with every axis and shape value of the three graphs.

    Args:
        name: of the profile.
        manifest: of the bundle; its default beams are what kernels are tuned for.
        samples: lengths of audio.
        frames: of the encoder for these lengths.
        sizes: the largest request.
    """
    stored = manifest.generation.get("num_beams")
    beams = min(stored if isinstance(stored, int) and stored > 0 else 1, sizes.beams)
    largest, positions = manifest.decoder.max_candidates, manifest.decoder.max_positions
    fed = sizes.length if positions is None else min(sizes.length, positions)
    prompt = min(sizes.prompt, fed)
    return Profile(
        name,
        axes={
            "batch": AxisRange(1, 1, sizes.batch),
            "samples": samples,
            "frames": frames,
            "beams": AxisRange(1, beams, sizes.beams),
            # After a first step the cache has one row per utterance, later one per beam.
            "rows": AxisRange(1, beams, sizes.batch * sizes.beams),
            # The newest token is fed, not cached.
            "past": AxisRange(0, min(_USUAL_PAST, fed - 1), fed - 1),
            "new": AxisRange(1, 1, prompt),
            "prompt": AxisRange(1, 1, prompt),
        },
        values={"candidates": AxisRange(1, min(2 * beams, largest), largest)},
    )


def rows_of(tensors: tuple[TensorInfo, ...], table: Profile) -> Profile:
    """The rows of the table that these inputs have."""
    axes = {axis for tensor in tensors for axis in tensor.shape if isinstance(axis, str)}
    scalars = [tensor.name for tensor in tensors if not tensor.shape]
    return Profile(
        table.name,
        {axis: found for axis, found in table.axes.items() if axis in axes},
        {name: table.values[name] for name in scalars},
    )


def bounds_of(
    name: str, axes: tuple[int | str, ...], profile: Profile
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Minimum, optimum and maximum of an input: its shapes, or of a scalar its value as [1]."""
    if not axes:
        value = profile.values[name]
        return (value.min,), (value.opt,), (value.max,)
    ranges = [profile.axes[axis] if isinstance(axis, str) else AxisRange(axis, axis, axis) for axis in axes]
    return (
        tuple(found.min for found in ranges),
        tuple(found.opt for found in ranges),
        tuple(found.max for found in ranges),
    )
