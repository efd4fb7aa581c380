"""What run-s2t prints: a table for a terminal, lines for a pipe, or JSON lines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import click

from s2t_runtime.errors import S2TError
from s2t_runtime.results import Result, TokenEvent

_CONTROL: Final = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), " ")


@dataclass(frozen=True)
class Outcome:
    """What became of one recording."""

    audio: str
    answer: Result | S2TError
    real_time_factor: float = math.nan
    """Seconds of work per second of audio, over the batch that the recording was decoded in."""


@dataclass(frozen=True)
class Output:
    """How outcomes are printed."""

    write: Callable[[Outcome], None]
    tell: Callable[[str, TokenEvent], None] | None = None
    """Prints what is known of a recording so far, where that can be done."""


def open_output(*, as_json: bool) -> AbstractContextManager[Output]:
    """The output that suits standard output."""
    if as_json:
        return nullcontext(Output(_write_json, _tell_json))
    return table_output() if sys.stdout.isatty() else nullcontext(Output(_write_lines))


def _write_json(outcome: Outcome) -> None:
    _echo_json(json_record(outcome))


def _tell_json(audio: str, event: TokenEvent) -> None:
    _echo_json(
        {
            "audio": audio,
            "sequence": event.sequence,
            "text_so_far": event.text,
            "tokens_so_far": event.tokens,
            "final": event.final,
        }
    )


def _echo_json(record: dict[str, object]) -> None:
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    click.echo(line.encode(errors="replace"))  # UTF-8 as JSON wants it, whatever the locale


def json_record(outcome: Outcome) -> dict[str, object]:
    """The JSON object of an outcome; a score that is not finite, which JSON cannot say, is null."""
    answer = outcome.answer
    if isinstance(answer, S2TError):
        return {"audio": outcome.audio, "error": one_line(answer)}
    hypotheses = [
        {"text": one.text, "tokens": one.tokens, "score": one.score if math.isfinite(one.score) else None}
        for one in answer.hypotheses
    ]
    return {
        "audio": outcome.audio,
        "text": answer.text,
        "language": answer.language,
        "score": hypotheses[0]["score"],
        "tokens": answer.tokens,
        "hypotheses": hypotheses,
        "audio_s": answer.audio_s,
        "timings_s": dict(answer.timings_s),
    }


def _write_lines(outcome: Outcome) -> None:
    """For a pipe or a file: the best text with its figures, further hypotheses below it."""
    answer = outcome.answer
    if isinstance(answer, S2TError):
        _complain(outcome.audio, answer)
        return
    times = f"{answer.audio_s:.2f} s", f"real-time factor {outcome.real_time_factor:.3f}"
    figures = ", ".join(filter(None, (answer.language, f"score {answer.score:.4f}", *times)))
    click.echo(f"{one_line(outcome.audio)}: {one_line(answer.text)}  ({figures})")
    for rank, one in enumerate(answer.hypotheses[1:], start=2):
        click.echo(f"    {rank}. {one_line(one.text)}  (score {one.score:.4f})")


@contextmanager
def table_output() -> Iterator[Output]:
    """For a terminal: a table, printed at the end because its widths depend on all rows."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table()
    for heading in ("audio", "text", "language", "score", "seconds", "real-time factor"):
        table.add_column(heading, overflow="fold")

    def add(outcome: Outcome) -> None:
        answer = outcome.answer
        if isinstance(answer, S2TError):
            _complain(outcome.audio, answer)
            return
        times = f"{answer.audio_s:.2f}", f"{outcome.real_time_factor:.3f}"
        about = (outcome.audio, answer.language or "", *times)
        for one in answer.hypotheses:
            cells = (about[0], one.text, about[1], f"{one.score:.4f}", *about[2:])
            table.add_row(*(Text(one_line(cell)) for cell in cells))  # Text: it may look like rich's markup
            about = ("",) * 4

    try:
        # On standard error, so that the message of a bad file, which rich diverts to it, stays there.
        with Console(stderr=True).status("decoding") as status:

            def tell(audio: str, event: TokenEvent) -> None:
                status.update(Text(f"{one_line(audio)}: {one_line(event.text)}"))

            yield Output(add, tell)
    finally:  # what was decoded before an interruption is shown
        if table.row_count:
            Console().print(table)


def _complain(audio: str, error: S2TError) -> None:
    click.echo(f"run-s2t: {one_line(audio)}: {one_line(error)}", err=True)


def one_line(text: object) -> str:
    """On one line, without what could repaint a terminal or stands for an undecodable file name."""
    return str(text).translate(_CONTROL).encode(errors="replace").decode()
