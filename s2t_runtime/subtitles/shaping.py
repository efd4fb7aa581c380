"""From segments to cues: short enough to be read, broken where a reader would pause."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from s2t_runtime.errors import OptionError
from s2t_runtime.subtitles.breaks import Break, break_before, cut_by_width, width


@dataclass(frozen=True)
class SubtitleOptions:
    """What fits on a screen, and how long it stays there.

    Raises:
        OptionError: a value is no number, or out of its range.
    """

    max_line_width: int = 42
    """Columns; wide East Asian characters take two."""
    max_line_count: int = 2
    """Lines of a cue."""
    min_cue_s: float = 1.0
    """A cue stays at least so long, where the next one leaves it the time."""
    max_cue_s: float = 7.0
    """And at most so long."""

    def __post_init__(self) -> None:
        """Check each value."""
        for name, least, most in (("max_line_width", 8, 1000), ("max_line_count", 1, 10)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise OptionError(f"{name} is {value!r}, wanted an integer from {least} to {most}")
        for name, least_s, most_s in (("min_cue_s", 0.0, 60.0), ("max_cue_s", 0.5, 3600.0)):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not least_s <= value <= most_s:
                raise OptionError(f"{name} is {value!r}, wanted a number from {least_s:g} to {most_s:g}")
        if self.min_cue_s > self.max_cue_s:
            raise OptionError(
                f"min_cue_s is {self.min_cue_s:g} and max_cue_s {self.max_cue_s:g}, wanted a least time no longer than "
                "the longest: set both"
            )


@dataclass(frozen=True)
class Timed:
    """A text and when it is spoken, in seconds."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Cue:
    """What is shown at once."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


_PENALTY = {Break.SENTENCE: 0.0, Break.CLAUSE: 0.15, Break.WORD: 0.35, Break.CHARACTER: 0.4}
"""How far from the middle, as a share of the text, a better break is worth going."""


def cues(segments: Iterable[Timed], options: SubtitleOptions) -> list[Cue]:
    """Shape a transcript.

    A segment that does not fit is split near its middle: at the end of a sentence, of a clause, between words, and
    between characters where there are no spaces. Its time is shared out by width, which is an estimate: no model here
    says when a word was spoken. A cue that would be too short stays longer, up to the next one.

    Args:
        segments: in order of time.
        options: what fits.
    """
    timed = [part for segment in segments for part in _parts(_tidy(segment), options)]
    shaped = []
    for place, part in enumerate(timed):
        follows = timed[place + 1].start_s if place + 1 < len(timed) else math.inf
        end_s = max(part.end_s, min(part.start_s + options.min_cue_s, follows))
        shaped.append(Cue(part.start_s, end_s, lines_of(part.text, options.max_line_width)))
    return shaped


def _tidy(segment: Timed) -> Timed:
    return dataclasses.replace(segment, text=" ".join(segment.text.split()))


def _parts(timed: Timed, options: SubtitleOptions) -> list[Timed]:
    if not timed.text:
        return []
    fits = len(_filled(timed.text, options.max_line_width)) <= options.max_line_count
    too_long = timed.end_s - timed.start_s > options.max_cue_s
    place = _best_break(timed.text) if too_long or not fits else None
    if place is None and not fits:  # one word that no screen holds
        place = cut_by_width(timed.text, options.max_line_width * options.max_line_count)
    if place is None:  # one word, or all of it: shown for as long as a cue may stay
        return [dataclasses.replace(timed, end_s=min(timed.end_s, timed.start_s + options.max_cue_s))]
    first, second = timed.text[:place].rstrip(), timed.text[place:].lstrip()
    share = width(first) / max(width(first) + width(second), 1)
    middle_s = timed.start_s + share * (timed.end_s - timed.start_s)
    return [
        *_parts(Timed(timed.start_s, middle_s, first), options),
        *_parts(Timed(middle_s, timed.end_s, second), options),
    ]


def _best_break(text: str) -> int | None:
    """The place to split a text in two: near the middle, and better at the end of a sentence than between words."""
    whole, best, least = width(text), None, math.inf
    columns = 0
    for place in range(1, len(text)):
        columns += width(text[place - 1])
        kind = break_before(text, place)
        if kind is not None:
            cost = abs(columns / whole - 0.5) + _PENALTY[kind]
            if cost < least:
                best, least = place, cost
    return best


def lines_of(text: str, most: int) -> tuple[str, ...]:
    """A text in lines no wider than ``most``, as few as there can be, and as even as they come.

    Args:
        text: without line breaks; spaces at either end are left out.
        most: columns.
    """
    lines = _filled(text.strip(), most)
    # Even lines read better than a long one above a short one; the fewest lines stay.
    for narrower in range(most - 1, 1, -1):
        tried = _filled(text.strip(), narrower)
        if len(tried) > len(lines) or max(map(width, tried), default=0) > narrower:
            break
        lines = tried
    return tuple(lines)


def _filled(text: str, most: int) -> Sequence[str]:
    """Line by line, as much as there is room for."""
    lines = []
    while (end := cut_by_width(text, most)) < len(text):
        # A space at the end of a line takes no room.
        last = end + 1 if end < len(text) - 1 and text[end].isspace() else end
        place = next((one for one in range(last, 0, -1) if break_before(text, one) is not None), end)
        lines.append(text[:place].rstrip())
        text = text[place:].lstrip()
    return [*lines, text] if text else lines
