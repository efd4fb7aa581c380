"""What profiles accept: the one for given sizes, and what to say where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from s2t_runtime.bundles.engine_record import AxisRange, Profile
from s2t_runtime.errors import AudioError, OptionError
from s2t_runtime.sessions.protocol import Request

ENCODER: Final = "encoder"
WITH_PAST: Final = "decoder_with_past"
FIRST_STEP: Final = "decoder_first_step"

_MEANINGS: Final[Mapping[str, str]] = {
    "batch": "utterances at once",
    "beams": "sequences per utterance",
    "candidates": "candidates per beam",
    "frames": "frames of the encoder",
    "new": "tokens fed at once",
    "past": "tokens in the cache",
    "prompt": "tokens of the prompt",
    "rows": "rows of the cache",
    "samples": "samples of audio",
}


@dataclass(frozen=True)
class ProfileLimits:
    """The profiles of the graphs that a session runs.

    Attributes:
        profiles: graph -> its profiles, in the order of TensorRT's indices.
        where: what has them, for messages: "the engines in FOLDER".
        remedy: axis and size -> the command that would allow it.
    """

    profiles: Mapping[str, tuple[Profile, ...]]
    where: str
    remedy: Callable[[str, int], str]

    def largest(self, graph: str, name: str) -> int:
        """The largest value of an axis or shape tensor over a graph's profiles."""
        return max(_ranges(profile)[name].max for profile in self.profiles[graph])

    def pick(self, graph: str, sizes: Mapping[str, int]) -> int:
        """Choose the profile for these sizes; of several the one made for the smallest ones.

        Args:
            graph: "encoder", "decoder_with_past" or "decoder_first_step".
            sizes: axis or shape tensor -> value.

        Returns:
            The profile's index.

        Raises:
            AudioError: the audio is too short or too long for every profile.
            OptionError: another size is outside every profile.
        """
        profiles = self.profiles[graph]
        outside = [_outside(profile, sizes) for profile in profiles]
        fitting = [index for index, names in enumerate(outside) if not names]
        if fitting:
            return min(fitting, key=lambda index: _volume(profiles[index], sizes))
        nearest = min(range(len(outside)), key=lambda index: len(outside[index]))
        name = outside[nearest][0]
        raise self._refusal(name, sizes[name], _ranges(profiles[nearest])[name])

    def check(self, request: Request) -> None:
        """Refuse a call that cannot be served to its end, before anything is computed.

        Raises:
            AudioError, OptionError: as ``pick``.
        """
        batch, rows = request.batch, request.batch * request.beams
        for utterances, samples in request.encoder_batches:
            self.pick(ENCODER, {"samples": samples, "batch": utterances})
        if FIRST_STEP in self.profiles:
            self.pick(FIRST_STEP, {"batch": batch, "prompt": request.prompt_length})
        else:
            self.pick(
                WITH_PAST,
                {"batch": batch, "beams": 1, "new": request.prompt_length, "past": 0, "rows": batch},
            )
        # The last token is never fed: when it is chosen, all before it but the newest are in the cache.
        steps = {request.prompt_length: batch, request.max_length - 2: rows}
        for past, cached in steps.items():
            if request.prompt_length <= past <= request.max_length - 2:
                sizes = {"batch": batch, "beams": request.beams, "past": past, "new": 1, "rows": cached}
                self.pick(WITH_PAST, sizes)

    def _refusal(self, name: str, got: int, limit: AxisRange) -> AudioError | OptionError:
        text = (
            f"{name} ({_MEANINGS.get(name, name)}) is {got}, but {self.where} take {limit.min} .. {limit.max}: "
            f"`{self.remedy(name, got)}` builds engines that take it; or use provider 'cpu'"
        )
        return AudioError(text) if name in {"samples", "frames"} else OptionError(text)


def _ranges(profile: Profile) -> dict[str, AxisRange]:
    return {**profile.axes, **profile.values}


def _outside(profile: Profile, sizes: Mapping[str, int]) -> list[str]:
    """The names whose size the profile does not take; an axis that it does not have takes any."""
    ranges = _ranges(profile)
    return [
        name
        for name, size in sizes.items()
        if name in ranges and not ranges[name].min <= size <= ranges[name].max
    ]


def _volume(profile: Profile, sizes: Mapping[str, int]) -> int:
    ranges = _ranges(profile)
    return math.prod(ranges[name].max for name in sizes if name in ranges)
