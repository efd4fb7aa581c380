"""Cues as files: SubRip, WebVTT, and tab-separated values with milliseconds, as Whisper's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from s2t_runtime.subtitles.shaping import Cue, Timed


def srt(cues: Sequence[Cue]) -> str:
    """SubRip: numbered cues; times with a comma."""
    return "".join(
        f"{number}\n{_time(cue.start_s, ',')} --> {_time(cue.end_s, ',')}\n{_body(cue.lines)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def vtt(cues: Sequence[Cue]) -> str:
    """WebVTT (W3C): the signs of its own tags are escaped."""
    shown = "".join(
        f"\n{_time(cue.start_s, '.')} --> {_time(cue.end_s, '.')}\n{_body(map(_escaped, cue.lines))}\n"
        for cue in cues
    )
    return f"WEBVTT\n{shown}"


def tsv(segments: Sequence[Timed]) -> str:
    """A head, then start and end in milliseconds and the text of each segment."""
    rows = "".join(
        f"{_milliseconds(one.start_s)}\t{_milliseconds(one.end_s)}\t{' '.join(one.text.split())}\n"
        for one in segments
    )
    return f"start\tend\ttext\n{rows}"


def _body(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _time(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(_milliseconds(seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
