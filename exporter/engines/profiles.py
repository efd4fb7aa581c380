"""The profiles that a build is told, checked before the builder sees them.

The ranges come from ``s2t_runtime.sessions.profiles.table``; here they are held against what bundle and decoder
take. TensorRT itself would build an engine for audio too short to give a frame, which can only fail when
it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from exporter.engines.options import AudioSpan, EngineOptions
from exporter.errors import EngineError
from s2t_runtime.bundles.engine_record import AxisRange, Profile
from s2t_runtime.bundles.manifest import GraphInfo, Manifest
from s2t_runtime.sessions.profiles.table import (
    Sizes,
    default_samples,
    default_sizes,
    rows_of,
    samples_range,
    table_of,
)

TOP_K_LIMIT: Final = 3840
"""TensorRT's largest top-k, and so the largest value of ``candidates``."""
_HASH_LENGTH: Final = 10


def profile_table(
    manifest: Manifest, options: EngineOptions, frames_of: Callable[[int], int]
) -> tuple[Profile, ...]:
    """Every profile with all axes and shape values of the contract.

    Args:
        manifest: of the bundle; its limits bound the ranges.
        options: what is wanted.
        frames_of: samples -> frames of the encoder graph.

    Raises:
        EngineError: a range is empty or leaves what bundle or TensorRT take; the axis is named.
    """
    return tuple(_profile(manifest, options, span, frames_of) for span in _spans(manifest, options))


def _spans(manifest: Manifest, options: EngineOptions) -> tuple[AudioSpan, ...]:
    if options.spans:
        return options.spans
    usual, rate = default_samples(manifest), manifest.audio.sampling_rate
    longest_s = usual.max / rate if options.max_audio_s is None else options.max_audio_s
    return (AudioSpan("default", usual.min / rate, longest_s),)


def _profile(
    manifest: Manifest, options: EngineOptions, span: AudioSpan, frames_of: Callable[[int], int]
) -> Profile:
    samples = _samples(manifest, span)
    frames = AxisRange(*(frames_of(count) for count in (samples.min, samples.opt, samples.max)))
    sizes = Sizes(options.max_batch, options.max_beams, _max_length(manifest, options), options.max_prompt)
    profile = table_of(span.name, manifest, samples, frames, sizes)
    _check_ranges(profile)
    return profile


def _samples(manifest: Manifest, span: AudioSpan) -> AxisRange:
    audio = manifest.audio
    shortest, longest = (round(seconds * audio.sampling_rate) for seconds in (span.min_s, span.max_s))
    if shortest < audio.min_samples:
        raise EngineError(
            f"profile {span.name}: axis samples begins at {shortest} ({span.min_s:g} s), below the encoder's "
            f"minimum of {audio.min_samples}: begin at {audio.min_samples / audio.sampling_rate:g} s"
        )
    if longest > audio.max_samples:
        raise EngineError(
            f"profile {span.name}: axis samples ends at {longest} ({span.max_s:g} s), beyond the bundle's maximum "
            f"of {audio.max_samples}: end at {audio.max_samples / audio.sampling_rate:g} s, or export again with "
            f"--max-audio-seconds {span.max_s:g}"
        )
    if shortest > longest:
        raise EngineError(
            f"profile {span.name}: axis samples ends at {longest} ({span.max_s:g} s), below its minimum of "
            f"{shortest}: allow longer audio with --max-audio-seconds"
        )
    return samples_range(shortest, longest, audio.sampling_rate)


def _max_length(manifest: Manifest, options: EngineOptions) -> int:
    positions = manifest.decoder.max_positions
    if options.max_length is None:
        return default_sizes(manifest).length
    # The last token of a sequence is never fed, so it needs no position.
    if positions is not None and options.max_length > positions + 1:
        raise EngineError(
            f"--max-length {options.max_length} (axis past) is beyond the {positions + 1} tokens that the decoder's "
            f"{positions} positions allow: give --max-length {positions + 1} or less"
        )
    return options.max_length


def _check_ranges(profile: Profile) -> None:
    """Refuse what is out of order, or more than TensorRT's top-k can be asked for."""
    for name, found in (*profile.axes.items(), *profile.values.items()):
        if not 0 <= found.min <= found.opt <= found.max:
            raise EngineError(
                f"profile {profile.name}: {name} has minimum {found.min}, optimum {found.opt} and maximum {found.max}; "
                "wanted 0 or more in ascending order"
            )
    if (asked := profile.values["candidates"].max) > TOP_K_LIMIT:
        raise EngineError(
            f"profile {profile.name}: shape value candidates ends at {asked}, beyond TensorRT's limit of "
            f"{TOP_K_LIMIT}: export the bundle again"
        )


def profiles_of(graph: GraphInfo, table: tuple[Profile, ...]) -> tuple[Profile, ...]:
    """The rows of the table that a graph's inputs have.

    Raises:
        EngineError: an input has an axis, or is a scalar, that the table does not know.
    """
    axes = {axis: tensor for tensor in graph.inputs for axis in tensor.shape if isinstance(axis, str)}
    scalars = [tensor.name for tensor in graph.inputs if not tensor.shape]
    unknown = [
        f"axis {axis} of input {tensor.name}" for axis, tensor in axes.items() if axis not in table[0].axes
    ]
    unknown += [f"shape value {name}" for name in scalars if name not in table[0].values]
    if unknown:
        raise EngineError(f"{graph.path} has {', '.join(unknown)}, which no profile covers: export it again")
    return tuple(rows_of(graph.inputs, profile) for profile in table)


def profiles_hash(table: tuple[Profile, ...]) -> str:
    """What tells the folders of different tables apart: ten hexadecimal digits."""
    text = json.dumps([asdict(profile) for profile in table], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
